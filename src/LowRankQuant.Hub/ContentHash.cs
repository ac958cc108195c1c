using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace LowRankQuant.Hub;

/// <summary>
/// What a hub calls a file by: sha256 of its bytes for large ones (64 hexadecimal digits), for others the sha1 of git's blob, "blob SIZE\0" and the bytes (40).
/// </summary>
internal sealed class ContentHash : IDisposable
{
    private readonly IncrementalHash _hash;

    /// <summary>Begins a hash.</summary>
    /// <param name="etag">What it shall be.</param>
    /// <param name="size">Bytes of the file.</param>
    public ContentHash(string etag, long size)
    {
        IsSha256 = etag.Length == 64;
#pragma warning disable CA5350 // Git's identity of a file; the file comes over TLS from where the identity comes from.
        _hash = IncrementalHash.CreateHash(IsSha256 ? HashAlgorithmName.SHA256 : HashAlgorithmName.SHA1);
#pragma warning restore CA5350
        if (!IsSha256) _hash.AppendData(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"blob {size}\0")));
    }

    /// <summary>Whether it is a sha256; else git's sha1.</summary>
    public bool IsSha256 { get; }

    /// <summary>Whether a text names a content that can be checked.</summary>
    public static bool IsOne(string etag) => etag.Length is 40 or 64 && etag.All(c => char.IsAsciiDigit(c) || c is >= 'a' and <= 'f');

    public void Append(ReadOnlySpan<byte> bytes) => _hash.AppendData(bytes);

    /// <summary>The hash so far, in hexadecimal digits.</summary>
    public string Text() => Convert.ToHexStringLower(_hash.GetCurrentHash());

    public void Dispose() => _hash.Dispose();
}
