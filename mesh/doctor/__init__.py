"""The diagnosis of a mesh that runs: facts and pings of all hosts, judged; `doctor` and `ping` show it."""
