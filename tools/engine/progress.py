"""Runs ninja and shows one line of progress; the whole output goes to a log.

usage: progress.py NAME LOG COMMAND [ARG...]
On a terminal the line is redrawn; elsewhere a plain line comes at each tenth. If the command fails,
the end of the log is shown. Ends with the command's own exit code, or 130 if it was interrupted.
"""
import os
import re
import subprocess
import sys
import time

WIDTH = 30


class Line:
    def __init__(self, name):
        self.name, self.start, self.shown = name, time.monotonic(), -1
        self.live = sys.stderr.isatty()

    def show(self, done, total):
        share = done / total
        seconds = int(time.monotonic() - self.start)
        clock = f"{seconds // 60}:{seconds % 60:02d}"
        if self.live:
            bar = "#" * int(WIDTH * share) + "." * (WIDTH - int(WIDTH * share))
            self.write(f"\r{self.name}: [{bar}] {share:4.0%}  {done}/{total}  {clock} ")
        elif int(share * 10) != self.shown:
            self.shown = int(share * 10)
            self.write(f"{self.name}: {share:4.0%}  {done}/{total}  {clock}\n")

    def end(self):
        if self.live:
            self.write("\n")

    @staticmethod
    def write(text):
        sys.stderr.write(text)
        sys.stderr.flush()


def follow(output, log, line):
    text = ""
    for text in output:
        log.write(text)
        step = re.match(r"(\d+)/(\d+) ", text)
        if step:
            line.show(int(step[1]), int(step[2]))
    return text


def main():
    name, log_path, command = sys.argv[1], sys.argv[2], sys.argv[3:]
    line = Line(name)
    with open(log_path, "w", encoding="utf-8") as log:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 text=True, errors="replace",
                                 env={**os.environ, "NINJA_STATUS": "%f/%t "})
        try:
            last = follow(child.stdout, log, line)
            code = child.wait()
            if "interrupted by user" in last:  # ninja's code for this differs between its versions
                code = 130
        except KeyboardInterrupt:  # the child has had the signal too
            child.wait()
            code = 130
    line.end()
    if code not in (0, 130):
        with open(log_path, encoding="utf-8") as log:
            sys.stderr.writelines(log.readlines()[-25:])
    return code


sys.exit(main())
