using System.Text;

namespace LowRankQuant.Formats;

/// <summary>Files that are not what their name says, known by their first bytes: pointers, error pages, archives, models of formats that are not read.</summary>
public static class FileKind
{
    private const string Pickle =
        "can run code when it is read and is not supported; convert the model to safetensors first (in Python: " +
        "AutoModelForCausalLM.from_pretrained(...).save_pretrained(folder)), or take the safetensors files of its page";

    private const string BeforeGguf =
        "a GGML model of the time before GGUF, which is not read; take the model's GGUF file or its Hugging Face folder";

    private const string Packed = "unpack it first";
    private const int HeadLength = 512;

    private static readonly (byte[] Magic, string What, string Remedy)[] Magics =
    [
        ([0x1F, 0x8B], "a gzip archive", Packed),
        ([0x28, 0xB5, 0x2F, 0xFD], "a zstd archive", Packed),
        ([0xFD, (byte)'7', (byte)'z', (byte)'X', (byte)'Z'], "an xz archive", Packed),
        ([(byte)'7', (byte)'z', 0xBC, 0xAF], "a 7z archive", Packed),
        ([0x89, (byte)'H', (byte)'D', (byte)'F'], "an HDF5 file (Keras or TensorFlow weights)", "take the model's safetensors files"),
        ([0x93, (byte)'N', (byte)'U', (byte)'M', (byte)'P', (byte)'Y'], "a NumPy array", "take the model's safetensors files"),
    ];

    /// <summary>What a file is instead of what it was taken for, with the remedy; null where its first bytes say nothing.</summary>
    /// <param name="path">The file; it must exist.</param>
    /// <returns>The rest of a sentence that begins with the file's name, such as <c>is a git-lfs pointer ...</c>.</returns>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static string? Foreign(string path)
    {
        Span<byte> head = stackalloc byte[HeadLength];
        using FileStream stream = File.OpenRead(path);
        return Foreign(head[..stream.ReadAtLeast(head, HeadLength, throwOnEndOfStream: false)]);
    }

    /// <summary>As <see cref="Foreign(string)"/>, from the first bytes.</summary>
    /// <param name="head">The first bytes of the file, some hundred at best.</param>
    public static string? Foreign(ReadOnlySpan<byte> head)
    {
        // The length of a header may look like any magic number.
        if (IsSafetensors(head)) return null;
        if (head.StartsWith("version https://git-lfs.github.com/spec/"u8))
            return "is a git-lfs pointer, not the file itself; run 'git lfs pull' in its folder, or download the file from the model's page.";
        if (IsPage(head)) return "is a web page, not the file itself: its download met an error or a login; download it again.";
        if (OldGgml(head)) return $"is {BeforeGguf}.";
        if (head.StartsWith("PK\x03\x04"u8)) return $"is a zip archive, as PyTorch pickles are; a pickle {Pickle}.";
        if (head.Length > 2 && head[0] == 0x80 && head[1] is >= 2 and <= 5) return $"is a pickle (PyTorch), which {Pickle}.";
        foreach ((byte[] magic, string what, string remedy) in Magics)
        {
            if (head.StartsWith(magic)) return $"is {what}; {remedy}.";
        }
        return head.Length >= 262 && head[257..].StartsWith("ustar"u8) ? $"is a tar archive; {Packed}." : null;
    }

    /// <summary>Whether the first bytes are those of a GGUF file.</summary>
    public static bool IsGguf(ReadOnlySpan<byte> head) => head.StartsWith("GGUF"u8);

    /// <summary>Whether the first bytes are those of a safetensors file.</summary>
    public static bool IsSafetensors(ReadOnlySpan<byte> head) =>
        head.Length > 9 && head[8] == '{' && System.Buffers.Binary.BinaryPrimitives.ReadUInt64LittleEndian(head) is > 1 and <= 100_000_000;

    // ggml, ggmf, ggjt and ggla, as little-endian numbers.
    private static bool OldGgml(ReadOnlySpan<byte> head) =>
        head.StartsWith("lmgg"u8) || head.StartsWith("fmgg"u8) || head.StartsWith("tjgg"u8) || head.StartsWith("algg"u8);

    private static bool IsPage(ReadOnlySpan<byte> head)
    {
        string text = Encoding.Latin1.GetString(head).TrimStart('\xEF', '\xBB', '\xBF', ' ', '\t', '\r', '\n');
        return text.StartsWith("<!doctype", StringComparison.OrdinalIgnoreCase) || text.StartsWith("<html", StringComparison.OrdinalIgnoreCase)
            || text.StartsWith("<?xml", StringComparison.OrdinalIgnoreCase);
    }
}
