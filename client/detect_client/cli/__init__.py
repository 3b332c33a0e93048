"""The command `detect`: pictures, folders, video files and cameras."""
