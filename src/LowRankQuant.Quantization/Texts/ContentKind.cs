using System.Buffers.Binary;
using System.Text.Unicode;

namespace LowRankQuant.Quantization.Texts;

/// <summary>Knows files that are no text by their first bytes.</summary>
internal static class ContentKind
{
    /// <summary>Bytes that <see cref="Foreign"/> looks at.</summary>
    public const int HeadLength = 512;

    private const string ToJsonLines = "convert it to JSON lines first";
    private const string Unpack = "unpack it first";

    // Words that a text may begin with too: such a file is told by the bytes behind them.
    private static readonly (byte[] Magic, string What, string Remedy)[] Words =
    [
        ([.. "PAR1"u8], "a Parquet file", "name it .parquet, and say nothing else of its format"),
        ([.. "ARROW1"u8], "an Arrow file", ToJsonLines + " (in Python: datasets.Dataset.from_file(FILE).to_json(OUT))"),
        ([.. "ORC"u8], "an ORC file", ToJsonLines),
        ([.. "SQLite format 3"u8], "an SQLite database", ToJsonLines),
        ([.. "BZh"u8], "compressed by bzip2", "unpack it first (bzip2 -d FILE), or pack it by gzip or zstd"),
        ([.. "Rar!"u8], "a rar archive", Unpack),
        ([.. "GGUF"u8], "a GGUF model", "name a text"),
    ];

    private static readonly (byte[] Magic, string What, string Remedy)[] Magics =
    [
        ([0xFF, 0xFF, 0xFF, 0xFF], "an Arrow stream", ToJsonLines + " (in Python: datasets.Dataset.from_file(FILE).to_json(OUT))"),
        ([.. "Obj\u0001"u8], "an Avro file", ToJsonLines),
        ([0xFD, (byte)'7', (byte)'z', (byte)'X', (byte)'Z'], "compressed by xz", "unpack it first (xz -d FILE), or pack it by gzip or zstd"),
        ([0x04, 0x22, 0x4D, 0x18], "compressed by lz4", "unpack it first (lz4 -d FILE), or pack it by gzip or zstd"),
        ([.. "PK\u0003\u0004"u8], "a zip archive (a .docx and .npz file too)", Unpack),
        ([(byte)'7', (byte)'z', 0xBC, 0xAF], "a 7z archive", Unpack),
        ([.. "%PDF-"u8], "a PDF file", "save its text first (pdftotext FILE)"),
        ([.. "{\\rtf"u8], "an RTF file", "save it as plain text"),
        ([0xD0, 0xCF, 0x11, 0xE0], "an old Office file", "save it as plain text"),
        ([0x89, (byte)'H', (byte)'D', (byte)'F'], "an HDF5 file", ToJsonLines),
        ([0x93, (byte)'N', (byte)'U', (byte)'M', (byte)'P', (byte)'Y'], "a NumPy array", "of token ids make one JSON array a line, a .ids file"),
        ([0x89, (byte)'P', (byte)'N', (byte)'G'], "a PNG image", "name a text"),
        ([0xFF, 0xD8, 0xFF], "a JPEG image", "name a text"),
        ([0x7F, (byte)'E', (byte)'L', (byte)'F'], "a program", "name a text"),
        ([.. "version https://git-lfs.github.com/spec/"u8], "a git-lfs pointer, not the file itself", "run 'git lfs pull' in its folder, or download the file"),
        ([0xFF, 0xFE, 0x00, 0x00], "text in UTF-32", SaveAs("UTF-32")),
        ([0x00, 0x00, 0xFE, 0xFF], "text in UTF-32", SaveAs("UTF-32")),
        ([0xFF, 0xFE], "text in UTF-16", SaveAs("UTF-16")),
        ([0xFE, 0xFF], "text in UTF-16", SaveAs("UTF-16")),
    ];

    private static string SaveAs(string encoding) => $"save it as UTF-8 (iconv -f {encoding} -t UTF-8)";

    /// <summary>Whether the bytes are the beginning of a zstd file.</summary>
    public static bool IsZstd(ReadOnlySpan<byte> head) => head.Length >= 4 && head[0] == 0x28 && head[1] == 0xB5 && head[2] == 0x2F && head[3] == 0xFD;

    /// <summary>Whether the bytes are the beginning of a gzip file.</summary>
    public static bool IsGzip(ReadOnlySpan<byte> head) => head.Length >= 3 && head[0] == 0x1F && head[1] == 0x8B && head[2] == 8;

    /// <summary>Whether bytes hold control characters that no text has, or are no UTF-8; the last character may be cut.</summary>
    internal static bool IsBinary(ReadOnlySpan<byte> head)
    {
        if (head.IndexOfAnyInRange((byte)0, (byte)8) >= 0 || head.IndexOfAnyInRange((byte)0x0E, (byte)0x1A) >= 0) return true;
        for (int cut = 0; cut < 4 && cut < head.Length; cut++)
        {
            if (Utf8.IsValid(head[..^cut])) return false;
        }
        return true;
    }

    /// <summary>What a file is instead of UTF-8 text, with the remedy; null where its first bytes say nothing.</summary>
    /// <param name="head">The first bytes, at best <see cref="HeadLength"/>.</param>
    public static (string What, string Remedy)? Foreign(ReadOnlySpan<byte> head)
    {
        foreach ((byte[] magic, string what, string remedy) in Magics)
        {
            if (head.StartsWith(magic)) return (what, remedy);
        }
        foreach ((byte[] word, string what, string remedy) in Words)
        {
            if (head.StartsWith(word) && IsBinary(head)) return (what, remedy);
        }
        if (IsGzip(head)) return ("compressed by gzip twice", "unpack it once (gzip -d FILE)");
        if (IsZstd(head)) return ("compressed once more, by zstd", "unpack it once");
        if (head.Length > 10 && head[8] == '{' && head[9] == '"' && BinaryPrimitives.ReadUInt64LittleEndian(head) is > 1 and < 100_000_000)
            return ("a safetensors file", "name a text");
        if (head.Length > 2 && head[0] == 0x80 && head[1] is >= 2 and <= 5) return ("a Python pickle", ToJsonLines);
        if (head.Length >= 262 && head[257..].StartsWith("ustar"u8)) return ("a tar archive", Unpack);
        // Text of mostly Latin letters in two bytes each.
        if (head.Length >= 4 && head[1] == 0 && head[3] == 0 && head[0] != 0 && head[2] != 0)
            return ("text in UTF-16 (little-endian)", SaveAs("UTF-16LE"));
        if (head.Length >= 4 && head[0] == 0 && head[2] == 0 && head[1] != 0 && head[3] != 0)
            return ("text in UTF-16 (big-endian)", SaveAs("UTF-16BE"));
        return null;
    }
}
