"""`mesh demo`: a mesh of separate processes at work, and checks of what it promises."""
