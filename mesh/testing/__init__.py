"""Engines without sockets or waiting, for tests: everything from one seed, in virtual time.

`network` is a wire that a test moves by hand. `simulation` is a whole world that runs by itself:
time (`clock`), frames (`tape`, `weather`, `wire`), nodes (`process`, `dialler`), programs
(`application`, `office`, `traffic`), what goes wrong (`plan`, `faults`), what must be true
(`ledger`, `invariants`, `pairs`, `verdict`, `rest`), and what happened (`story`).

May touch the engine and what is below it.
"""
