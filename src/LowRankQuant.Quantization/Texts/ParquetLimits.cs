using System.Buffers.Binary;
using Parquet.Meta;

namespace LowRankQuant.Quantization.Texts;

/// <summary>Sizes of a Parquet file, held against its length and a limit before anything is allocated by them.</summary>
internal static class ParquetLimits
{
    /// <summary>Most bytes that the columns of a row group take unpacked, levels and references included.</summary>
    public const long MostBytes = 1L << 30;

    // Two levels and a reference to the text.
    private const int BytesPerValue = 24;
    private const int LongestFooter = 1 << 26;
    private const int LongestPageHeader = 1 << 16;
    private const int TailLength = 8;

    // Numbers of a page's header: sizes, and how many values each kind of page says it has.
    private const int UnpackedSize = 2, PackedSize = 3, DataValues = 501, DictionaryValues = 701, SecondDataValues = 801;

    /// <summary>The file's beginning, end and footer.</summary>
    /// <exception cref="InvalidDataException">It is no Parquet file, cut short, or its footer cannot be.</exception>
    public static void CheckFooter(Stream file)
    {
        Span<byte> ends = stackalloc byte[TailLength];
        if (file.Length < 2 * TailLength) throw new InvalidDataException("it is too short");
        file.Position = 0;
        file.ReadExactly(ends[..4]);
        if (!ends[..4].SequenceEqual("PAR1"u8)) throw new InvalidDataException(ends[..4].SequenceEqual("PARE"u8) ? "it is encrypted" : "it does not begin with PAR1");
        file.Position = file.Length - TailLength;
        file.ReadExactly(ends);
        if (!ends[4..].SequenceEqual("PAR1"u8)) throw new InvalidDataException("it does not end with PAR1: it is cut short");
        int length = BinaryPrimitives.ReadInt32LittleEndian(ends);
        if (length <= 0 || length > file.Length - TailLength - 4) throw new InvalidDataException($"its footer of {(uint)length} bytes is longer than the file");
        if (length > LongestFooter) throw new InvalidDataException($"its footer has {length} bytes; at most {LongestFooter} are read");
        byte[] footer = new byte[length];
        file.Position = file.Length - TailLength - length;
        file.ReadExactly(footer);
        ThriftCheck.Read(footer, out _);
        file.Position = 0;
    }

    /// <summary>A column of a row group: the sizes that its pages state.</summary>
    /// <param name="file">The file.</param>
    /// <param name="column">The column.</param>
    /// <param name="rows">Rows of the row group.</param>
    /// <param name="most">The limit.</param>
    /// <param name="left">Bytes left of it; lessened.</param>
    /// <exception cref="InvalidDataException">A size is beyond the file or the limit.</exception>
    public static void CheckColumn(Stream file, ColumnMetaData column, long rows, long most, ref long left)
    {
        long start = column.DictionaryPageOffset is > 0 and long dictionary ? Math.Min(dictionary, column.DataPageOffset) : column.DataPageOffset;
        if (start < 4 || column.TotalCompressedSize < 0 || start > file.Length - column.TotalCompressedSize) throw new InvalidDataException("a column lies beyond its end");
        if (column.NumValues < 0 || rows < 0 || column.TotalUncompressedSize < 0) throw new InvalidDataException("it states a negative size");
        if (column.NumValues > left / BytesPerValue) throw TooLarge(most);
        left -= column.NumValues * BytesPerValue;
        long at = start, end = start + column.TotalCompressedSize, values = 0;
        byte[] head = new byte[LongestPageHeader];
        while (at < end && values < column.NumValues)
        {
            file.Position = at;
            int read = file.ReadAtLeast(head.AsSpan(0, (int)Math.Min(head.Length, end - at)), 1, throwOnEndOfStream: false);
            IReadOnlyDictionary<int, long> page = ThriftCheck.Read(head.AsSpan(0, read), out int length);
            long packed = page.GetValueOrDefault(PackedSize, -1), unpacked = page.GetValueOrDefault(UnpackedSize, -1);
            if (packed < 0 || unpacked < 0 || packed > end - at - length) throw new InvalidDataException("a page is longer than its column");
            if (unpacked > left) throw TooLarge(most);
            left -= unpacked;
            long holds = page.GetValueOrDefault(DataValues) + page.GetValueOrDefault(SecondDataValues);
            if (holds < 0 || holds > column.NumValues - values) throw new InvalidDataException("its pages hold more values than their column");
            if (page.GetValueOrDefault(DictionaryValues) is var entries && (entries < 0 || entries > unpacked)) throw new InvalidDataException("a dictionary is larger than its page");
            CheckSnappy(file, column, at + length, packed, unpacked, isPlain: !page.ContainsKey(SecondDataValues));
            values += holds;
            at += length + packed;
        }
        file.Position = 0;
    }

    // What snappy unpacks to stands in front of it.
    private static void CheckSnappy(Stream file, ColumnMetaData column, long at, long packed, long unpacked, bool isPlain)
    {
        if (!isPlain || packed == 0 || column.Codec != CompressionCodec.SNAPPY) return;
        file.Position = at;
        long length = 0;
        for (int shift = 0; shift < 35; shift += 7)
        {
            int next = file.ReadByte();
            length |= (long)(next & 127) << shift;
            if (next < 128) break;
        }
        if (length != unpacked) throw new InvalidDataException("a page unpacks to another size than it states");
    }

    private static InvalidDataException TooLarge(long most) =>
        new($"the columns that are read take more than {most >> 20} MiB in one row group; write it with smaller row groups, such as 10,000 rows");
}
