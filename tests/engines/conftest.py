"""The table of engines."""


def pytest_terminal_summary(terminalreporter):
    """Prints what each engine took, and what of it was held."""
    passed = [report for report in terminalreporter.stats.get("passed", ()) if report.when == "call"]
    rows = [value for report in passed for name, value in report.user_properties if name == "engine"]
    if rows:
        terminalreporter.section("engines: rows and clips are those of the local runner")
        terminalreporter.line(f"{'job':<22} {'engine':<42} {'seconds':>8} {'peak memory':>12}")
        for job, engine, seconds, peak_bytes, *more in rows:
            peak = f"{peak_bytes / 1e9:.2f} GB" if peak_bytes else ""
            terminalreporter.line(f"{job:<22} {engine:<42} {seconds:>8.0f} {peak:>12}  {' '.join(more)}")
