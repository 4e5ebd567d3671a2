"""TIFF files of faxes: made for tests, and read again with libtiff's tools."""
import struct
import subprocess

WIDTH = 1728


def row(page, y):
    """A row of a page: bars that differ from page to page."""
    if (y // 8 + page * 3) % 16 >= 4:
        return bytes(WIDTH // 8)
    return bytes(0xF0 if (x // 4 + page) % 3 == 0 else 0 for x in range(WIDTH // 8))


def image(page, rows):
    return b"".join(row(page, y) for y in range(rows))


def write(path, pages, rows=150):
    """A fax of standard resolution, not compressed; returns its images."""
    out, images = b"II\x2a\0\x08\0\0\0", [image(page, rows) for page in range(pages)]
    for page, pixels in enumerate(images):
        extra = len(out) + 2 + 12 * 12 + 4
        data = extra + 16
        fields = [(256, 4, WIDTH), (257, 4, rows), (258, 3, 1), (259, 3, 1), (262, 3, 0), (273, 4, data), (277, 3, 1),
                  (278, 4, rows), (279, 4, len(pixels)), (282, 5, extra), (283, 5, extra + 8), (296, 3, 2)]
        out += struct.pack("<H", len(fields)) + b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in fields)
        out += struct.pack("<I", data + len(pixels) if page + 1 < pages else 0)
        out += struct.pack("<IIII", 204, 1, 98, 1) + pixels
    path.write_bytes(out)
    return images


def read(path):
    """The images of a file that a fax machine wrote, black as 1."""
    plain = path.with_suffix(".plain.tif")
    subprocess.run(["tiffcp", "-c", "none", "-f", "msb2lsb", path, plain], check=True, capture_output=True)
    raw = plain.read_bytes()
    order = {b"II": "<", b"MM": ">"}[raw[:2]]
    at, images = struct.unpack_from(order + "I", raw, 4)[0], []
    while at:
        count = struct.unpack_from(order + "H", raw, at)[0]
        fields = {}
        for n in range(count):
            tag, kind, values = struct.unpack_from(order + "HHI", raw, at + 2 + n * 12)
            size = {3: "H", 4: "I"}.get(kind)
            if size:
                where = at + 2 + n * 12 + 8
                if values * struct.calcsize(size) > 4:
                    where = struct.unpack_from(order + "I", raw, where)[0]
                fields[tag] = struct.unpack_from(f"{order}{values}{size}", raw, where)
        assert fields[256] == (WIDTH,), fields
        pixels = b"".join(raw[start:start + length] for start, length in zip(fields[273], fields[279], strict=True))
        if fields[262] == (1,):
            pixels = bytes(octet ^ 0xFF for octet in pixels)
        images.append(pixels[:fields[257][0] * WIDTH // 8])
        at = struct.unpack_from(order + "I", raw, at + 2 + count * 12)[0]
    return images
