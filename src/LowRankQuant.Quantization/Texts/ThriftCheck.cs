namespace LowRankQuant.Quantization.Texts;

/// <summary>
/// Walks Thrift's compact encoding without building anything: whether every count and length fits the bytes that are there, so that whoever builds objects from
/// them afterwards is never asked for more than the file can hold.
/// </summary>
internal ref struct ThriftCheck
{
    private const int MostDepth = 24;

    private readonly ReadOnlySpan<byte> _bytes;
    private readonly Dictionary<int, long> _numbers;
    private int _at;

    private ThriftCheck(ReadOnlySpan<byte> bytes)
    {
        _bytes = bytes;
        _numbers = [];
    }

    /// <summary>Reads the structure at the start.</summary>
    /// <param name="bytes">Perhaps more than the structure.</param>
    /// <param name="length">Bytes of the structure.</param>
    /// <returns>
    /// Whole numbers by field: those of the structure itself by its id, those of a structure directly within by 100 times the outer id plus the inner.
    /// </returns>
    /// <exception cref="InvalidDataException">A count, a length or a type is impossible, or the structure goes on behind the bytes.</exception>
    public static IReadOnlyDictionary<int, long> Read(ReadOnlySpan<byte> bytes, out int length)
    {
        var check = new ThriftCheck(bytes);
        check.Struct(0, 0);
        length = check._at;
        return check._numbers;
    }

    private void Struct(int depth, int prefix)
    {
        if (depth > MostDepth) throw new InvalidDataException($"it is nested more than {MostDepth} levels deep");
        int id = 0;
        while (true)
        {
            byte head = Byte();
            if (head == 0) return;
            id = head >> 4 is > 0 and int step ? id + step : (short)ZigZag();
            // Truth stands in the type itself.
            if ((head & 15) is 1 or 2) continue;
            Value(head & 15, depth, prefix, id);
        }
    }

    private void Value(int type, int depth, int prefix, int id)
    {
        switch (type)
        {
            case 1 or 2 or 3:
                Byte();
                break;
            case 4 or 5 or 6:
                long number = ZigZag();
                if (depth <= 1 && prefix >= 0 && id is > 0 and < 100) _numbers[(prefix * 100) + id] = number;
                break;
            case 7:
                Skip(8);
                break;
            case 8:
                Skip(Varint());
                break;
            case 9 or 10:
                List(depth);
                break;
            case 11:
                Map(depth);
                break;
            case 12:
                Struct(depth + 1, depth == 0 ? id : -1);
                break;
            default:
                throw new InvalidDataException($"there is no type {type}");
        }
    }

    private void List(int depth)
    {
        byte head = Byte();
        ulong count = head >> 4 == 15 ? Varint() : (ulong)(head >> 4);
        // Every element takes a byte at least.
        if (count > (ulong)(_bytes.Length - _at)) throw new InvalidDataException($"a list of {count} elements is longer than what holds it");
        for (ulong i = 0; i < count; i++) Value(head & 15, depth + 1, -1, 0);
    }

    private void Map(int depth)
    {
        ulong count = Varint();
        if (count == 0) return;
        if (count > (ulong)(_bytes.Length - _at)) throw new InvalidDataException($"a map of {count} elements is longer than what holds it");
        byte types = Byte();
        for (ulong i = 0; i < count; i++)
        {
            Value(types >> 4, depth + 1, -1, 0);
            Value(types & 15, depth + 1, -1, 0);
        }
    }

    private byte Byte() => _at < _bytes.Length ? _bytes[_at++] : throw new InvalidDataException("it ends too early");

    private void Skip(ulong count)
    {
        if (count > (ulong)(_bytes.Length - _at)) throw new InvalidDataException($"a value of {count} bytes is longer than what holds it");
        _at += (int)count;
    }

    private long ZigZag()
    {
        ulong value = Varint();
        return (long)(value >> 1) ^ -(long)(value & 1);
    }

    private ulong Varint()
    {
        ulong value = 0;
        for (int shift = 0; shift < 64; shift += 7)
        {
            byte next = Byte();
            value |= (ulong)(next & 127) << shift;
            if (next < 128) return value;
        }
        throw new InvalidDataException("a number has more than 64 bits");
    }
}
