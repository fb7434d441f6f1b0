"""`python -m mesh.cli.demo`: the process of one node, for the conductor alone to start."""

import sys

from mesh.cli.demo.child import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
