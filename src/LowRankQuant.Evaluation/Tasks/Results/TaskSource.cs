using System.Security.Cryptography;

namespace LowRankQuant.Evaluation.Tasks.Results;

/// <summary>The files that figures of tasks were made of, so that everybody who has them can make the figures again.</summary>
/// <param name="Items">Name of the file with the model's items, without its folder.</param>
/// <param name="Sha256">SHA-256 of its bytes, lower-case hexadecimal.</param>
/// <param name="Against">Name of the file with the reference's items; null where nothing was compared.</param>
/// <param name="AgainstSha256">SHA-256 of its bytes; null without.</param>
public sealed record TaskSource(string Items, string Sha256, string? Against, string? AgainstSha256)
{
    /// <summary>Reads both files once.</summary>
    /// <param name="items">The file with the model's items.</param>
    /// <param name="against">The file with the reference's; null for none.</param>
    /// <exception cref="IOException">A file cannot be read.</exception>
    public static TaskSource Of(string items, string? against) =>
        new(Path.GetFileName(items), HashOf(items), against is null ? null : Path.GetFileName(against), against is null ? null : HashOf(against));

    private static string HashOf(string file)
    {
        using FileStream stream = File.OpenRead(file);
        return Convert.ToHexStringLower(SHA256.HashData(stream));
    }
}
