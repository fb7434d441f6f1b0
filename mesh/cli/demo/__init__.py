"""`mesh demo`: a mesh of separate processes at work, and checks of what it promises.

Its nodes touch the public interface alone, so that it shows what any program can do.
"""
