"""A host whose programs see another time; WireGuard does not, since containers share one clock."""

__all__ = ["SET_AGAIN", "set_clock"]

SET_AGAIN = "rm -f /usr/local/bin/date"


def set_clock(when: str) -> str:
    """Return what has `date` tell a time such as `-3 days` where it is asked for seconds, as our programs ask."""
    return f"""cat >/usr/local/bin/date.new <<'END'
#!/bin/sh
[ "$*" != +%s ] || exec /bin/date -d '{when}' +%s
exec /bin/date "$@"
END
chmod 755 /usr/local/bin/date.new
mv /usr/local/bin/date.new /usr/local/bin/date"""
