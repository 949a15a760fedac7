"""What happens in registers, written as LLVM code: a tile of the product, and strips of a panel, copied or turned.

All arguments are addresses and distances in bytes, or counts; only the type of the first one matters: it says for
which vectors to write code. `CPointer(UniTuple(float32, 16))` stands for 16 float32.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

TILES = {64: (6, 4), 32: (6, 2), 16: (6, 4)}  # bytes of a vector → rows × vectors of the tile that fills the registers

i1, i32, i64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)


class Vector:
    """The vectors that such a type stands for, and LLVM code to work with them."""

    def __init__(self, pointer: types.CPointer) -> None:
        self.lanes, self.item = pointer.dtype.count, pointer.dtype.dtype.bitwidth // 8
        self.bytes = self.lanes * self.item
        self.number = ir.FloatType() if self.item == 4 else ir.DoubleType()
        self.type = ir.VectorType(self.number, self.lanes)
        self.rows, self.vectors = TILES[self.bytes]
        self.every = ir.VectorType(i1, self.lanes)([1] * self.lanes)

    def call(self, builder, name, result, *arguments):
        """One of LLVM's own functions, such as llvm.fma.v16f32."""
        kind = ir.FunctionType(result, [x.type for x in arguments])
        name = f"llvm.{name}.v{self.lanes}f{8 * self.item}" + ".p0" * name.startswith("masked")
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)

    def load(self, builder, address, mask=None):
        place = builder.inttoptr(address, self.type.as_pointer())
        return self.call(builder, "masked.load", self.type, place, i32(1), mask or self.every, self.type(None))

    def store(self, builder, vector, address, mask=None):
        place = builder.inttoptr(address, self.type.as_pointer())
        self.call(builder, "masked.store", ir.VoidType(), vector, place, i32(1), mask or self.every)

    def spread(self, builder, number):
        """The number in every lane."""
        one = builder.insert_element(ir.VectorType(number.type, self.lanes)(ir.Undefined), number, i32(0))
        return builder.shuffle_vector(one, one, ir.VectorType(i32, self.lanes)([0] * self.lanes))

    def first(self, builder, count):
        """A mask of the first `count` lanes."""
        lanes = ir.VectorType(i64, self.lanes)(list(range(self.lanes)))
        return builder.icmp_signed("<", lanes, self.spread(builder, count))

    def transposed(self, builder, rows):
        """The transpose of lanes × lanes numbers: rows s apart exchange blocks of s numbers, for s = 1, 2, 4 …"""
        lanes, order, s = range(self.lanes), ir.VectorType(i32, self.lanes), 1
        while s < self.lanes:
            upper = order([i - s + self.lanes if i & s else i for i in lanes])
            lower = order([i + self.lanes if i & s else i + s for i in lanes])
            rows = [builder.shuffle_vector(rows[i & ~s], rows[i | s], lower if i & s else upper) for i in lanes]
            s *= 2
        return rows


def plus(builder, base, count, distance):
    """base + count·distance, in bytes."""
    count, distance = (i64(x) if isinstance(x, int) else x for x in (count, distance))
    return builder.add(base, builder.mul(count, distance))


def write_tile(builder, v, a, a_row, a_col, b, b_row, c, c_row, depth, last, more, rows, vectors):
    """C = A @ B, or C += A @ B if `more`, with all sums in registers; the last vector has `last` columns."""
    tile = [(i, j) for i in range(rows) for j in range(vectors)]
    masks = [None] * (vectors - 1) + [v.first(builder, last)]
    a_rows = [plus(builder, a, i, a_row) for i in range(rows)]
    places = {(i, j): plus(builder, plus(builder, c, i, c_row), j, v.bytes) for i, j in tile}
    sums = {ij: cgutils.alloca_once_value(builder, v.type(None)) for ij in tile}  # LLVM makes registers of them
    with builder.if_then(builder.icmp_signed("!=", more, i64(0))):
        for i, j in tile:
            builder.store(v.load(builder, places[i, j], masks[j]), sums[i, j])
    with cgutils.for_range(builder, depth) as p:
        row = plus(builder, b, p.index, b_row)
        right = [v.load(builder, plus(builder, row, j, v.bytes)) for j in range(vectors)]
        for i in range(rows):
            number = builder.inttoptr(plus(builder, a_rows[i], p.index, a_col), v.number.as_pointer())
            left = v.spread(builder, builder.load(number, align=1))
            for j in range(vectors):
                total = v.call(builder, "fma", v.type, left, right[j], builder.load(sums[i, j]))
                builder.store(total, sums[i, j])
    for i, j in tile:
        v.store(builder, builder.load(sums[i, j]), places[i, j], masks[j])


def write_copy(builder, v, b, b_row, panel, panel_row, depth, columns):
    """Copy a strip of B, at most a vector of columns, into a panel; padded with zeros."""
    mask = v.first(builder, columns)
    with cgutils.for_range(builder, depth) as p:
        row = v.load(builder, plus(builder, b, p.index, b_row), mask)
        v.store(builder, row, plus(builder, panel, p.index, panel_row))


def write_turn(builder, v, b, b_col, panel, panel_row, depth, columns):
    """The same where B's columns are contiguous: squares are transposed in registers; the padding is column 0."""
    numbers = [i64(i) for i in range(v.lanes)]
    sources = [builder.select(builder.icmp_signed("<", i, columns), i, i64(0)) for i in numbers]

    def square(start, mask=None):
        corner = plus(builder, b, start, v.item)
        lines = [v.load(builder, plus(builder, corner, i, b_col), mask) for i in sources]
        for i, row in zip(numbers, v.transposed(builder, lines), strict=True):
            v.store(builder, row, plus(builder, panel, builder.add(start, i), panel_row))

    rest = builder.srem(depth, i64(v.lanes))
    with cgutils.for_range(builder, builder.sdiv(depth, i64(v.lanes))) as block:
        square(builder.mul(block.index, i64(v.lanes)))
    with builder.if_then(builder.icmp_signed(">", rest, i64(0))):
        square(builder.sub(depth, rest), v.first(builder, rest))


def call_written(builder, v, write, arguments, *sizes):
    """Call the LLVM function that `write` writes for these vectors and sizes, once in a module."""
    name = "_".join(map(str, (write.__name__, v.lanes, v.item, *sizes)))
    if name not in builder.module.globals:
        function = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), [x.type for x in arguments]), name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        inside = ir.IRBuilder(function.append_basic_block())
        write(inside, v, *function.args, *sizes)
        inside.ret_void()
    builder.call(builder.module.globals[name], arguments)


@intrinsic
def sizes_of(typing, v):
    """Bytes of a number, numbers in a vector, and the rows and columns of the full tile."""
    found, four = Vector(v), types.UniTuple(types.int64, 4)
    numbers = [i64(n) for n in (found.item, found.lanes, found.rows, found.lanes * found.vectors)]
    return four(v), lambda context, builder, *_: context.make_tuple(builder, four, numbers)


@intrinsic
def strip(typing, v, b, b_row, b_col, panel, panel_row, depth, columns):
    """Fill a strip of a panel: copied if a row of B is contiguous, otherwise turned."""

    def code(context, builder, signature, arguments):
        _, b, b_row, b_col, *rest = arguments
        with builder.if_else(builder.icmp_signed("==", b_col, i64(Vector(v).item))) as (contiguous, otherwise):
            with contiguous:
                call_written(builder, Vector(v), write_copy, [b, b_row, *rest])
            with otherwise:
                call_written(builder, Vector(v), write_turn, [b, b_col, *rest])

    return types.void(v, *[types.int64] * 7), code


@intrinsic
def tile(typing, v, rows, vectors, a, a_row, a_col, b, b_row, c, c_row, depth, last, more):
    """Compute the tile of this many rows and vectors, at most the full one."""

    def code(context, builder, signature, arguments):
        _, rows, vectors, *arguments = arguments
        full, done = Vector(v), builder.append_basic_block()
        switch = builder.switch(plus(builder, vectors, rows, 8), done)
        for i in range(1, full.rows + 1):
            for j in range(1, full.vectors + 1):
                with builder.goto_block(builder.append_basic_block()):
                    switch.add_case(i64(8 * i + j), builder.block)
                    call_written(builder, full, write_tile, arguments, i, j)
                    builder.branch(done)
        builder.position_at_end(done)

    return types.void(v, *[types.int64] * 12), code


@intrinsic
def call(typing, address, arguments):
    """Call the function that lies at an address."""

    def code(context, builder, signature, values):
        arguments = cgutils.unpack_tuple(builder, values[1])
        kind = ir.FunctionType(ir.VoidType(), [x.type for x in arguments])
        builder.call(builder.inttoptr(values[0], kind.as_pointer()), arguments)

    return types.void(address, arguments), code
