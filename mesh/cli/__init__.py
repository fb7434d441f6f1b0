"""The command `mesh`: verbs for people. Only here is click imported.

May touch every room; asks a running node through its control socket wherever that will do.
"""


def main() -> None:
    """The console script. Imports the verbs only now: the demonstration's nodes need none."""
    from mesh.cli.command import mesh

    mesh.main(prog_name="mesh")
