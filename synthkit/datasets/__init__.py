"""Where images come from. Every module returns ImageSets."""
