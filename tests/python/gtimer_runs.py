"""Runs random programs on the real gtimer and records them, as tests/data/gtimer/README.md says.

Usage: gtimer_runs.py FOLDER SEED COUNT

Writes FOLDER/<n>.json for each program that gtimer gets through. Its clock is replaced by one that
moves only when told, and two of its faults are repaired, without which loops cannot nest and nothing
can be looked at while it is open. Programs that gtimer itself fails on are left out, and so is what
leads it astray where its documentation says otherwise:

- a stamp of a loop that is called as one outside of it;
- an inner loop that is run twice in one pass of the outer one, or that keeps its iterations in one
  pass and not in another;
- worker times that are attached twice, and workers of one name in one attachment;
- a look while a level is stopped, which it refuses.

Where a merge has put a stamp that is in no loop before one that is, the order of the lines in the
statistics is not ours; such runs are left out, too.
"""

import contextlib
import importlib.util
import io
import json
import os
import random
import shutil
import sys
import tempfile
import timeit

NOW = [0.0]
timeit.default_timer = lambda: NOW[0]

FLAT = ["a", "b", "c", "d"]
LOOPED = ["p", "q", "r", "s"]
SUBDIVISIONS = ["f", "g", "h"]
LOOPS = ["l", "m", "n"]
STEPS = [0.0, 0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.25]


def repaired(folder):
    """A copy of the installed gtimer with its two faults repaired, ready to be imported."""
    package = os.path.dirname(importlib.util.find_spec("gtimer").origin)
    shutil.copytree(package, os.path.join(folder, "gtimer"))
    for path, old, new in [
        ("private/collapse.py", "stack_copy[i].named_loop", "stack_copy[i].is_named_loop"),
        (
            "private/loop.py",
            "save_itrs=save_itrs)\n        f.t.dump = dump",
            "save_itrs=save_itrs, parent=f.r)\n        f.t.dump = dump",
        ),
    ]:
        path = os.path.join(folder, "gtimer", path)
        with open(path) as file:
            text = file.read()
        assert old in text, path
        with open(path, "w") as file:
            file.write(text.replace(old, new))
    sys.path.insert(0, folder)


class Failed(Exception):
    """gtimer did not refuse, but fail."""


def tree(times):
    stamps = []
    for name in times.stamps.order:
        stamp = {"name": name}
        for key in ["cum", "itr_num", "itr_max", "itr_min"]:
            stamp[key] = getattr(times.stamps, key)[name]
        if name in times.stamps.itrs:
            stamp["itrs"] = list(times.stamps.itrs[name])
        stamps.append(stamp)
    return {
        "name": times.name,
        "position": times.pos_in_parent,
        "total": times.total,
        "stamps_sum": times.stamps_sum,
        "self_agg": times.self_agg,
        "stamps": stamps,
        "subdivisions": [
            {"position": position, "timers": [tree(timer) for timer in timers]}
            for position, timers in times.subdvsn.items()
        ],
        "parallel": [
            {"position": position, "group": group, "workers": [tree(w) for w in workers]}
            for position, groups in times.par_subdvsn.items()
            for group, workers in groups.items()
        ],
    }


def is_in_order(times):
    """Whether all stamps of loops come first in the statistics."""
    names = times.stamps.itr_num
    if names.get("rare", 0) > 1:
        return False  # It may have been registered with a loop or with its timer.
    flat = [name in FLAT for name in names if name != "rare"]
    below = [timer for timers in times.subdvsn.values() for timer in timers]
    for groups in times.par_subdvsn.values():
        below += [worker for workers in groups.values() for worker in workers]
    return flat == sorted(flat) and all(is_in_order(timer) for timer in below)


class Program:
    """Operations that are made up and done one after the other, so that refusals are gtimer's."""

    STAMP_OPTIONS = ["backdate", "unique", "un", "keep_subdivisions", "ks"]

    def __init__(self, gt, seed):
        self.gt = gt
        self.random = random.Random(seed)
        self.left = self.random.choice([12, 25, 40, 60])
        self.saved = {}
        self.unused = []
        self.snapshots = {}
        self.n_names = 0
        self.n_loops = 0
        self.entered = set()

    def chance(self, share):
        return self.random.random() < share

    def name(self):
        return self.random.choice(LOOPED if self.n_loops else FLAT)

    def fresh(self):
        self.n_names += 1
        return f"t{self.n_names}"

    def moment(self, op):
        if self.chance(0.12):
            op["backdate"] = NOW[0] - self.random.choice([-1.0, 0.0, 0.125, 0.25, 0.5, 1.0, 2.0])
        return op

    def entry(self, op):
        if self.chance(0.3):
            op["save_itrs"] = self.chance(0.5)
        if self.chance(0.25):
            op["rgstr_stamps"] = ["rare"]
        return op

    def body(self, depth, more=()):
        """Makes up a list of operations and does them."""
        ops = []
        for _ in range(self.random.randint(1, 7)):
            if self.left > 0:
                self.left -= 1
                self.step(ops, depth)
        for op in more:
            self.do(ops, op)
        return ops

    def do(self, ops, op, act=None):
        """Does an operation, and adds it with what came of it."""
        from gtimer.local.exceptions import GTimerError

        ops.append(op)
        try:
            result = (act or (lambda: self.act(op)))()
        except GTimerError as error:
            if op["op"] in ["save_times", "snapshot"]:
                raise Failed("a look at a stopped timer is refused") from error
            if act:
                raise Failed("a body was left in a way that nothing recovers from") from error
            op["raises"] = type(error).__name__
            return
        except Failed:
            raise
        except Exception as error:
            raise Failed(f"{op['op']}: {error}") from error
        if isinstance(result, float) and op["op"] != "reset" and self.chance(0.4):
            op["returns"] = result

    def act(self, op):
        gt, kind = self.gt, op["op"]
        options = {key: op[key] for key in self.STAMP_OPTIONS if key in op}
        entry = {key: op[key] for key in ["rgstr_stamps", "save_itrs"] if key in op}
        if kind == "advance":
            NOW[0] += op["by"]
            return None
        if kind in ["stamp"]:
            return gt.stamp(op["name"], **options)
        if kind == "stop":
            return gt.stop(op.get("name"), **options)
        if kind in ["start", "blank_stamp"]:
            return getattr(gt, kind)(**options)
        if kind == "subdivide":
            return gt.subdivide(op["name"], **entry)
        if kind == "save_times":
            self.saved[op["as"]] = gt.get_times()
            self.unused.append(op["as"])
            return None
        if kind == "snapshot":
            self.snapshots[op["as"]] = tree(gt.get_times())
            return None
        if kind == "attach_par":
            return gt.attach_par_subdivision(op["group"], [self.saved[t] for t in op["times"]])
        if kind == "attach":
            return gt.attach_subdivision(self.saved[op["times"]])
        if kind == "set_default":
            return getattr(gt, f"set_def_{op['setting']}")(op["value"])
        if kind == "rename_root":
            return gt.rename_root(op["name"])
        if kind == "set_save_itrs_root":
            gt.set_save_itrs_root(op["value"])
            return None
        if kind == "rgstr_stamps_root":
            gt.rgstr_stamps_root(op["names"])
            return None
        return getattr(gt, kind)()

    def step(self, ops, depth):
        choice = self.random.random()
        inner = depth < 5
        if choice < 0.33:
            self.do(ops, {"op": "advance", "by": self.random.choice(STEPS)})
        elif choice < 0.58:
            op = self.moment({"op": "stamp", "name": self.name()})
            if self.chance(0.4):
                op[self.random.choice(["unique", "un"])] = self.chance(0.35)
            if self.chance(0.2):
                op[self.random.choice(["keep_subdivisions", "ks"])] = self.chance(0.6)
            self.do(ops, op)
        elif choice < 0.67 and inner:
            self.call(ops, depth)
        elif choice < 0.77 and inner:
            self.loop(ops, depth)
        elif choice < 0.81 and inner:
            self.subdivide(ops, depth)
        elif choice < 0.83 and depth == 0:
            self.do(ops, {"op": "end_subdivision"})
        elif choice < 0.86:
            op = self.moment({"op": "blank_stamp"})
            if self.chance(0.3):
                op["ks"] = True
            self.do(ops, op)
        elif choice < 0.9:
            self.do(ops, {"op": "pause"})
            self.do(ops, {"op": "advance", "by": self.random.choice(STEPS)})
            if self.chance(0.3):
                self.do(ops, {"op": "stamp", "name": self.name()})
            self.do(ops, {"op": "resume"})
        elif choice < 0.925:
            self.do(ops, {"op": "snapshot", "as": self.fresh()})
        elif choice < 0.95:
            self.do(ops, {"op": "save_times", "as": self.fresh()})
        elif choice < 0.97:
            self.attach(ops)
        elif choice < 0.975:
            setting = self.random.choice(["unique", "keep_subdivisions", "save_itrs"])
            value = self.chance(0.5)
            self.do(ops, {"op": "set_default", "setting": setting, "value": value})
        elif choice < 0.98:
            self.do(ops, self.moment({"op": "start"}))
        elif choice < 0.985:
            self.do(ops, {"op": "reset"})
        elif choice < 0.99:
            self.do(ops, {"op": "set_save_itrs_root", "value": self.chance(0.5)})
        elif choice < 0.993:
            self.do(ops, {"op": "rgstr_stamps_root", "names": ["rare"]})
        elif choice < 0.996:
            self.do(ops, {"op": "rename_root", "name": self.random.choice(["0", "1"])})
        elif choice < 0.998 and depth == 0:
            self.do(ops, {"op": "reset_root"})
        else:
            self.do(ops, {"op": "current_time"})

    def apart(self, loops, body):
        """Does a body in which `loops` loops are around, whose stamps have names of their own."""
        before = self.n_loops, self.entered
        self.n_loops = loops
        if not loops:
            self.entered = set()
        try:
            return body()
        finally:
            self.n_loops, self.entered = before

    def call(self, ops, depth):
        op = self.entry({"op": "call", "name": self.random.choice(SUBDIVISIONS)})

        def function():
            op["body"] = self.apart(0, lambda: self.body(depth + 1))

        function.__name__ = op["name"]
        options = {key: op[key] for key in ["rgstr_stamps", "save_itrs"] if key in op}
        wrapped = self.gt.wrap(**options)(function) if options else self.gt.wrap(function)
        self.do(ops, op, wrapped)

    def loop(self, ops, depth):
        n = self.random.choice([1, 1, 2, 2, 3])
        op = self.entry({"op": self.random.choice(["for", "loop"]), "iterations": []})
        # Loops do not return to stamps that there were before, so nor do their names.
        if depth > 0 or self.chance(0.7):
            op["name"] = f"{self.random.choice(LOOPS)}{self.fresh()}"
            if self.chance(0.5) and self.n_loops:
                op["name"] = self.random.choice(LOOPS)
        if op.get("name") in self.entered:
            del op["name"]
            if depth > 0:
                return
        self.entered.add(op.get("name"))
        if op.get("name") in LOOPS:
            # It may be entered again, and then has to keep what it kept before.
            op.pop("save_itrs", None)
        if "name" not in op:
            op.pop("rgstr_stamps", None)
        if self.chance(0.3) and "name" in op:
            op["loop_end_stamp"] = "tail"
        if self.chance(0.2):
            op["break_after"] = self.random.randint(1, n)
        options = {
            key: op[key]
            for key in ["name", "rgstr_stamps", "save_itrs", "loop_end_stamp"]
            if key in op
        }

        def passes():
            for at in range(n):
                before, self.entered = self.entered, set()
                body = lambda: self.body(depth + 1)
                op["iterations"].append(self.apart(self.n_loops + 1, body))
                self.entered = before
                yield
                if op.get("break_after") == at + 1:
                    return

        def timed_for():
            timed = self.gt.timed_for(range(n), **options)
            run = passes()
            for at in timed:
                next(run)
                if op.get("break_after") == at + 1:
                    break
            if "break_after" in op:
                timed.exit()

        def timed_loop():
            timed = self.gt.timed_loop(**options)
            run = passes()
            for at in range(op.get("break_after", n)):
                next(timed)
                next(run)
            timed.exit()

        self.do(ops, op, timed_for if op["op"] == "for" else timed_loop)
        while len(op["iterations"]) < n:
            op["iterations"].append([])

    def subdivide(self, ops, depth):
        def inside():
            self.do(ops, self.entry({"op": "subdivide", "name": self.random.choice(SUBDIVISIONS)}))
            if self.chance(0.2):
                self.do(ops, self.moment({"op": "start"}))
            ops.extend(self.body(depth + 1))
            if self.chance(0.2):
                stop = self.moment({"op": "stop"})
                if self.chance(0.5):
                    stop["name"] = self.name()
                self.do(ops, stop)
            self.do(ops, {"op": "end_subdivision"})

        self.apart(0, inside)

    def attach(self, ops):
        names = list(self.unused)
        if not names:
            return
        first = self.random.choice(names)
        if self.saved[first].total <= 0.0:
            return
        self.unused.remove(first)
        if self.chance(0.25):
            self.do(ops, {"op": "attach", "times": first})
            return
        group = self.random.choice(["v", "w"])
        self.do(ops, {"op": "attach_par", "group": group, "times": [first]})

    def run(self):
        gt = self.gt
        NOW[0] = 0.0
        for setting in ["unique", "keep_subdivisions", "save_itrs"]:
            getattr(gt, f"set_def_{setting}")(True)
        gt.reset_root()
        ops = []
        while self.left > 0:
            self.left -= 1
            self.step(ops, 0)
        if self.chance(0.7):
            self.do(ops, {"op": "stop"})
        times = gt.get_times()
        if not is_in_order(times):
            raise Failed("the order of the statistics is not ours")
        record = {
            "format": 1,
            "ops": ops,
            "expected": {"final": tree(times), "snapshots": self.snapshots},
            # Without the heading, which other versions do not write.
            "expected_structure": gt.write_structure(times).split("\n")[2:-2],
            "report": gt.report(times).split("\n"),
            "report_delimited": gt.report(times, delim_mode=True).split("\n"),
        }
        groups = [group for groups in times.par_subdvsn.values() for group in groups.items()]
        if groups:
            for key, delimited in [("compare", False), ("compare_delimited", True)]:
                texts = [gt.compare(list(w), name, delim_mode=delimited) for name, w in groups]
                record[key] = "".join(texts).split("\n")
        return record


def main():
    folder, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with tempfile.TemporaryDirectory() as copy:
        repaired(copy)
        import gtimer as gt

        n_made = 0
        for at in range(count):
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    record = Program(gt, 1000003 * seed + at).run()
                head = {"id": f"{seed}-{at}", "title": "random", "reference": "gtimer-1.0.0b5+repairs"}
                text = json.dumps({**head, **record}, allow_nan=False)
            except Exception:  # Whatever gtimer fails with, nothing is recorded then.
                continue
            with open(os.path.join(folder, f"{at}.json"), "w") as file:
                file.write(text)
            n_made += 1
        print(n_made)


main()
