using System.IO.Compression;
using System.Text;
using LowRankQuant.Quantization.Texts;

namespace LowRankQuant.Tests.Quantization.Texts;

/// <summary>Files of text as bytes: what is read, and what is refused by name.</summary>
public sealed class SourceReaderTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    // By its first bytes, whatever the name.
    [Theory]
    [InlineData("a.txt")]
    [InlineData("a.txt.gz")]
    public void GzipOfAnyNumberOfMembersIsRead(string name) =>
        Assert.Equal("one, two, three", Read(name, [.. Gzip("one, "u8), .. Gzip("two, "u8), .. Gzip([]), .. Gzip("three"u8)]));

    [Fact]
    public void AByteOrderMarkIsSkippedOnce()
    {
        Assert.Equal("abc", Read("a.txt", [0xEF, 0xBB, 0xBF, .. "abc"u8]));
        Assert.Equal("abc", Read("a.txt.gz", Gzip([0xEF, 0xBB, 0xBF, .. "abc"u8])));
        Assert.Equal("a\uFEFFbc", Read("a.txt", Encoding.UTF8.GetBytes("a\uFEFFbc")));
    }

    [Fact]
    public void AFileThatIsCutShortAnywhereIsRefused()
    {
        byte[] text = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, 300).Select(i => $"{i * i} ")));
        foreach (CompressionLevel level in new[] { CompressionLevel.Optimal, CompressionLevel.NoCompression })
        {
            byte[] packed = Gzip(text, level);
            Assert.Equal(Encoding.UTF8.GetString(text), Read("a.gz", packed));
            for (int length = 3; length < packed.Length; length += length < 30 || packed.Length - length < 12 ? 1 : 17)
                Assert.Contains("is not a sound gzip file", Refused("a.gz", packed[..length]), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void DamageAndWhatStandsBehindTheEndAreRefused()
    {
        byte[] packed = Gzip("some text that is packed"u8);
        byte[] damaged = [.. packed];
        damaged[^6] ^= 1;
        Assert.Contains("is not a sound gzip file", Refused("a.gz", damaged), StringComparison.Ordinal);
        Assert.Contains("is not a sound gzip file", Refused("a.gz", [.. packed, .. "garbage"u8]), StringComparison.Ordinal);
        Assert.Contains("is named .gz and is no gzip file", Refused("a.gz", [.. "plain"u8]), StringComparison.Ordinal);
        Assert.Contains("gzip twice", Refused("a.gz", Gzip(packed)), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("PAR1\u0015\u0004", "a Parquet file")]
    [InlineData("ARROW1\u0000\u0000", "an Arrow file")]
    [InlineData("\u00FF\u00FF\u00FF\u00FF\u0010", "an Arrow stream")]
    [InlineData("\u00FD7zXZ", "compressed by xz")]
    [InlineData("BZh91AY&SY\u00D3\u0010", "compressed by bzip2")]
    [InlineData("PK\u0003\u0004", "a zip archive")]
    [InlineData("%PDF-1.7", "a PDF file")]
    [InlineData("\u0010\u0000\u0000\u0000\u0000\u0000\u0000\u0000{\"a\":{}}", "a safetensors file")]
    [InlineData("GGUF\u0003", "a GGUF model")]
    [InlineData("\u00FF\u00FEa\u0000", "text in UTF-16")]
    [InlineData("\u00FE\u00FF\u0000a", "text in UTF-16")]
    [InlineData("a\u0000b\u0000c\u0000", "text in UTF-16 (little-endian)")]
    [InlineData("\u0000a\u0000b", "text in UTF-16 (big-endian)")]
    [InlineData("version https://git-lfs.github.com/spec/v1\noid", "a git-lfs pointer")]
    public void OtherFormatsAreNamed(string latin1, string name)
    {
        byte[] bytes = Encoding.Latin1.GetBytes(latin1);
        string message = Refused("a.txt", bytes);
        Assert.Contains($"a.txt' is {name}", message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', message);
        Assert.Contains(name, Refused("a.txt.gz", Gzip(bytes)), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("ORCHIDS grow slowly.")]
    [InlineData("GGUF is a file format.")]
    [InlineData("PAR1 and BZh are words.\tRar! \u00e9")]
    [InlineData("%PDF")]
    [InlineData("PK")]
    public void TextMayBeginWithAnyWord(string text) => Assert.Equal(text, Read("a.txt", Encoding.UTF8.GetBytes(text)));

    [Fact]
    public void WhatIsNoTextIsRefused()
    {
        Assert.Contains("is not UTF-8 text (byte 0xE9)", Refused("a.txt", [.. "caf"u8, 0xE9, (byte)' ']), StringComparison.Ordinal);
        Assert.Contains("iconv -f LATIN1", Refused("a.txt", [.. "caf"u8, 0xE9, (byte)' ']), StringComparison.Ordinal);
        Assert.Contains("holds NUL bytes", Refused("a.txt", [.. "some text"u8, 0, .. "and more"u8]), StringComparison.Ordinal);
        Assert.Contains("is empty", Refused("a.txt", []), StringComparison.Ordinal);
        Assert.Contains("is a folder", Assert.Throws<TextSourceException>(() => new SourceReader(_folder.Path)).Message, StringComparison.Ordinal);
        Assert.Contains("is not a file", Assert.Throws<TextSourceException>(() => new SourceReader(_folder.File("none"))).Message, StringComparison.Ordinal);
    }

    private static byte[] Gzip(ReadOnlySpan<byte> content, CompressionLevel level = CompressionLevel.Optimal)
    {
        using var bytes = new MemoryStream();
        using (var gzip = new GZipStream(bytes, level, leaveOpen: true)) gzip.Write(content);
        // Of nothing the framework writes nothing, not even a member.
        return bytes.Length > 0 ? bytes.ToArray() : [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    }

    private string Read(string name, byte[] content)
    {
        File.WriteAllBytes(_folder.File(name), content);
        using var reader = new SourceReader(_folder.File(name));
        return reader.ReadToEnd();
    }

    private string Refused(string name, byte[] content) => Assert.Throws<TextSourceException>(() => Read(name, content)).Message;
}
