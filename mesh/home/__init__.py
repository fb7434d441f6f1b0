"""What lies on disk: the home folder and its lock, the identity's key, the trust list, settings.

May touch files, the environment handed in and platformdirs; knows no socket, clock or event loop.
"""
