"""The command `mesh`: verbs for people, over everything else. Only here is click imported."""


def main() -> None:
    """The console script. Imports the verbs only now: the demonstration's nodes need none."""
    from mesh.cli.command import mesh

    mesh.main(prog_name="mesh")
