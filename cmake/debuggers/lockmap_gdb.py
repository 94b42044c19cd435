"""GDB pretty-printers for lockmap. Use: (gdb) source .../share/lockmap/lockmap_gdb.py

A map prints as its size, its shards and its keys, in no particular order. A key that is held says
so, with the id of the owner that holds it, as the messages of deadlock errors do, or with the
number of owners that share it. Each thread is an owner; which one has which id tells

    (gdb) thread apply all -q print 'lockmap::detail::ThisModule::record_'.owner.id

in the module that made the map. A thread that never held a key nor waited for one has the id 0.

Whether a held key has a value only its holder knows, from its Entry: the map shows what was true
when the key was locked. Nothing is called in the program, so core files print as well.
"""

import gdb
import gdb.printing

# Every name of the library, and of the standard libraries, that this file relies on. A path leads
# from member to member.
SHARDS = ("shards_", "shards_")
SHARD_COUNT = ("shards_", "size_")
MAX_SIZE = ("max_size_",)
SHARD_SIZE_PARTS = (("values_", "locked_"), ("values_", "shared_"))
SIZE_MASK = (1 << 32) - 1  # the high halves say how often the parts changed
SHARD_CHUNKS = ("slab_", "chunks_")
SHARD_FRESH = ("slab_", "fresh_")
SHARD_FRESH_END = ("slab_", "fresh_end_")
CHUNK_NODES = ("nodes",)
CHUNK_CAPACITY = ("capacity",)
NODE_STATE = ("state", "word_")
NODE_KEY = ("key",)
NODE_VALUE = ("value",)
ENTRY_NODE = ("hold_", "node_")
ENTRY_HAS_VALUE = ("has_value_",)
BATCH_FIRST, BATCH_SIZE = ("guards_", "first_"), ("guards_", "size_")
STATE = "lockmap::detail::State"
VECTORS = (  # begin and end of a std::vector: libstdc++, libc++
    (("_M_impl", "_M_start"), ("_M_impl", "_M_finish")),
    (("__begin_",), ("__end_",)),
)

# What is shown of memory that may hold anything: more than this is taken for garbage, ...
MAX_SHARDS = 1 << 16
MAX_CHUNKS = 1 << 20
# ... and no more than so many places for keys are looked at.
MAX_SLOTS = 1 << 22
SLOTS_PER_READ = 1 << 10


def member(value, path):
    for name in path:
        value = value[name]
    return value


def atomic(value):
    """The content of a std::atomic, of whatever standard library."""
    content = value.type.strip_typedefs().template_argument(0)
    if value.address is None:
        raise gdb.error("not in memory")
    return int(value.address.cast(content.pointer()).dereference())


def vector(value):
    """The begin and the length of a std::vector."""
    for begin, end in VECTORS:
        try:
            first, last = member(value, begin), member(value, end)
        except gdb.MemoryError:
            raise
        except gdb.error:
            continue  # of another standard library
        return first, int(last - first)
    raise gdb.error("std::vector has no members that are known here")


def bounded(what, count, limit):
    if not 0 <= count <= limit:
        raise gdb.error(f"{what} is {count}")
    return count


def counted(count, thing):
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


class State:
    """A node's state word, and how to read it."""

    def __init__(self, node):
        self.bits = atomic(member(node, NODE_STATE))

    @staticmethod
    def constant(name):
        # Not by an expression, which fails where the selected frame is not C++.
        state = gdb.lookup_type(STATE)
        return int(gdb.Value(bytes(state.sizeof), state)[name])

    def is_set(self, name):
        return self.bits & self.constant(name) != 0

    def has_value(self):
        return self.is_set("has_value_bit")

    def locked(self):
        return self.is_set("locked_bit")

    def waiting(self):
        """How many owners want the key: each has a pin, and so has an exclusive hold."""
        below_owner = self.bits & ((1 << self.constant("owner_shift")) - 1)
        return below_owner // self.constant("one_pin") - (1 if self.locked() else 0)

    def in_table(self):
        return self.has_value() or self.bits >= self.constant("one_pin")

    def owner(self):
        """Who holds the key exclusively; 0 if nobody does."""
        return self.bits >> self.constant("owner_shift") if self.locked() else 0

    def sharers(self):
        """How many hold the key shared."""
        return 0 if self.locked() else self.bits >> self.constant("owner_shift")

    def holds(self):
        return 1 if self.locked() else self.sharers()

    def note(self):
        """What is to be said of the lock; empty if nobody wants the key."""
        notes = []
        if self.locked():
            notes.append(f"held by owner {self.owner()}")
        elif self.sharers() != 0:
            notes.append(f"shared by {self.sharers()}")
        if self.waiting() != 0:
            notes.append(f"{self.waiting()} waiting")
        return ", ".join(notes)


def shards(map_value):
    first = member(map_value, SHARDS)
    count = bounded("shard_count", int(member(map_value, SHARD_COUNT)), MAX_SHARDS)
    return [first[i] for i in range(count)]


def values(shard):
    return sum(atomic(member(shard, part)) for part in SHARD_SIZE_PARTS) & SIZE_MASK


def runs(shard):
    """The first node and the length of each run of nodes that were in use at some time."""
    chunk, count = vector(member(shard, SHARD_CHUNKS))
    fresh, fresh_end = member(shard, SHARD_FRESH), member(shard, SHARD_FRESH_END)
    for i in range(bounded("the number of chunks", count, MAX_CHUNKS)):
        nodes = member(chunk[i], CHUNK_NODES)
        end = nodes + member(chunk[i], CHUNK_CAPACITY)
        yield nodes, int((fresh if end == fresh_end else end) - nodes)


def nodes_in_table(all_shards):
    """The nodes that are in their shard's table, each with its state."""
    looked_at = 0
    for nodes, length in (run for shard in all_shards for run in runs(shard)):
        size = nodes.type.target().sizeof
        word = member(nodes.dereference(), NODE_STATE)
        begin = int(word.address) - int(nodes)
        end = begin + word.type.sizeof
        # Many at a time: one by one, a million would take a minute.
        for start in range(0, length, SLOTS_PER_READ):
            count = min(SLOTS_PER_READ, length - start)
            looked_at += count
            if looked_at > MAX_SLOTS:
                raise gdb.error(f"stopped after {MAX_SLOTS} places for keys")
            block = gdb.selected_inferior().read_memory(int(nodes) + start * size, count * size)
            block = block.tobytes()
            for i in range(count):
                if not any(block[i * size + begin : i * size + end]):
                    continue
                state = State(nodes[start + i])
                if state.in_table():
                    yield nodes[start + i], state


class MapPrinter:
    def __init__(self, value):
        self.value = value
        self.name = value.type.strip_typedefs().tag.split("<")[0]

    def to_string(self):
        try:
            all_shards = shards(self.value)
            size = sum(values(shard) for shard in all_shards)
            text = f"{self.name} of {counted(size, 'value')} in {counted(len(all_shards), 'shard')}"
            if self.name.endswith("LruLockMap"):
                text += f", max_size {atomic(member(self.value, MAX_SIZE))}"
            return text
        except gdb.error as error:
            return f"{self.name} (unreadable: {error})"

    def children(self):
        try:
            all_shards = shards(self.value)
        except gdb.error:
            return  # said above
        number = 0
        try:
            for node, state in nodes_in_table(all_shards):
                yield f"key {number}", member(node, NODE_KEY)
                yield f"value {number}", self.content(node, state)
                number += 1
        except gdb.error as error:
            yield "error", "error"
            yield "error text", f"{error}"

    @staticmethod
    def content(node, state):
        note = state.note()
        value = member(node, NODE_VALUE)
        if state.has_value():
            return f"{value.format_string()} ({note})" if note else value
        return f"no value ({note})" if note else "no value"

    def display_hint(self):
        return "map"


class EntryPrinter:
    def __init__(self, value):
        self.value = value

    def node(self):
        """The locked node; None after a move or an unlock."""
        node = member(self.value, ENTRY_NODE)
        return None if int(node) == 0 else node.dereference()

    def to_string(self):
        try:
            node = self.node()
            if node is None:
                return "lockmap::Entry (released)"
            note = State(node).note()
            return f"lockmap::Entry ({note})" if note else "lockmap::Entry (not locked)"
        except gdb.error as error:
            return f"lockmap::Entry (unreadable: {error})"

    def children(self):
        try:
            node = self.node()
            if node is None or State(node).holds() == 0:
                return
            yield "key", member(node, NODE_KEY)
            if bool(member(self.value, ENTRY_HAS_VALUE)):
                yield "value", member(node, NODE_VALUE)
        except gdb.error:
            return  # said above


class BatchPrinter:
    def __init__(self, value):
        self.value = value

    def guards(self):
        first, count = member(self.value, BATCH_FIRST), int(member(self.value, BATCH_SIZE))
        return first, bounded("size", count, MAX_SLOTS)

    def to_string(self):
        try:
            return f"lockmap::Batch of {counted(self.guards()[1], 'key')}"
        except gdb.error as error:
            return f"lockmap::Batch (unreadable: {error})"

    def children(self):
        try:
            first, count = self.guards()
        except gdb.error:
            return  # said above
        for i in range(count):
            yield f"[{i}]", first[i]

    def display_hint(self):
        return "array"


def printers():
    collection = gdb.printing.RegexpCollectionPrettyPrinter("lockmap")
    collection.add_printer("map", r"^lockmap::(Lru)?LockMap<", MapPrinter)
    collection.add_printer("entry", r"^lockmap::Entry<", EntryPrinter)
    collection.add_printer("batch", r"^lockmap::Batch<", BatchPrinter)
    return collection


gdb.printing.register_pretty_printer(None, printers(), replace=True)
