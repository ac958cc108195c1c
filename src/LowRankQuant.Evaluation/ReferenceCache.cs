using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using LowRankQuant.Models;
using LowRankQuant.Quantization.Storage;

namespace LowRankQuant.Evaluation;

/// <summary>
/// A folder in which the final hidden states of references are kept, so that the next measurement of the same windows against the same reference reads them in place of running it. A
/// file holds the states of up to 32,768 tokens in whole windows, and is named by a hash of all that they depend on. Nothing is ever deleted; nothing is taken for something else.
/// </summary>
public sealed class ReferenceCache
{
    /// <summary>What the names of its files end in.</summary>
    public const string Extension = ".states";

    private const int FormatVersion = 1;

    /// <summary>Names a folder.</summary>
    /// <param name="folder">The folder; made when the first file is written.</param>
    public ReferenceCache(string folder) => Folder = folder;

    /// <summary>The folder.</summary>
    public string Folder { get; }

    /// <summary>Windows that were read so far.</summary>
    public int WindowsRead { get; internal set; }

    /// <summary>Windows that were computed and written so far.</summary>
    public int WindowsKept { get; internal set; }

    /// <summary>Windows that were computed and not written, as another process writes the same ones.</summary>
    public int WindowsLeft { get; internal set; }

    /// <summary>A hash of all of a model that its hidden states depend on: its files, what computes, in which precision, and whether its quantizers run and codes are multiplied.</summary>
    internal static byte[] HashOf(CausalModel model)
    {
        string engine = $"reference states {FormatVersion} {RunFingerprint.EngineOf(model.Device.Kernels.Name)} {model.Device.Precision} {model.RunsQuantizers} {model.MultipliesCodes} ";
        return SHA256.HashData(Encoding.UTF8.GetBytes(engine + RunFingerprint.ModelHash(model.Checkpoint)));
    }

    /// <summary>A hash of a model's hidden states on windows, which names their file.</summary>
    internal static byte[] HashOf(byte[] model, IReadOnlyList<int[]> windows)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(model);
        foreach (int[] window in windows)
        {
            // Framed by its length: what moves from one window to the next is another text.
            hash.AppendData(MemoryMarshal.AsBytes<int>([window.Length]));
            hash.AppendData(MemoryMarshal.AsBytes<int>(window));
        }
        return hash.GetHashAndReset();
    }

    /// <summary>The file of a hash.</summary>
    internal string PathOf(byte[] hash) => Path.Combine(Folder, Convert.ToHexStringLower(hash) + Extension);
}
