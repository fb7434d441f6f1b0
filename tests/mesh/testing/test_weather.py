"""What a network does to frames."""

from mesh.testing.weather import Weather

FRAME = bytes(range(200))


def test_in_fine_weather_a_frame_arrives_once_and_whole(random):
    """In order, after its latency."""
    weather = Weather(latency=0.25)
    assert weather.harmless
    assert weather.copies(FRAME, random) == [(FRAME, "")]
    assert weather.takes(random) == (0.25, False)


def test_each_chance_does_what_it_says(random):
    """Loss, repeats, changed bytes, frames cut short, detours."""
    assert Weather(loss=1.0).copies(FRAME, random) == []
    assert Weather(repeats=1.0).copies(FRAME, random) == [(FRAME, ""), (FRAME, "")]
    for _ in range(20):
        ((changed, note),) = Weather(corrupts=1.0).copies(FRAME, random)
        differing = [a ^ b for a, b in zip(changed, FRAME, strict=True) if a != b]
        assert note == "corrupt"
        assert [bit.bit_count() for bit in differing] == [1]
        ((short, note),) = Weather(truncates=1.0).copies(FRAME, random)
        assert note == "truncated"
        assert FRAME.startswith(short)
        assert len(short) < len(FRAME)
    seconds, overtaken = Weather(latency=0.1, late=1.0, late_by=2.0).takes(random)
    assert overtaken
    assert 0.1 <= seconds <= 2.1
    jittered, overtaken = Weather(latency=0.1, jitter=0.5).takes(random)
    assert not overtaken
    assert 0.1 <= jittered <= 0.6


def test_chances_are_chances(random):
    """With a half of each, some frames pass unharmed."""
    weather = Weather(loss=0.5, repeats=0.5, corrupts=0.2, truncates=0.2)
    seen = [tuple(note for _, note in weather.copies(FRAME, random)) for _ in range(200)]
    assert {(), ("",), ("", ""), ("corrupt",), ("truncated",)} <= set(seen)


def test_calm_ends_everything_but_latency():
    """The road is as long as before."""
    weather = Weather(0.3, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, closed=True)
    weather.calm()
    assert weather.harmless
    assert not weather.closed
    assert (weather.latency, weather.jitter) == (0.3, 0.0)
