"""One run: the main job, its parts, and its end."""
