using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using LowRankQuant.Formats;

namespace LowRankQuant.Quantization.Calibration;

/// <summary>Token windows of one length, and what is known about where they came from.</summary>
public sealed class CalibrationSet
{
    /// <summary>Name of the file beside the saved ids that holds the windows kept aside.</summary>
    public const string HeldOutFileName = "heldout.ids.jsonl";

    /// <summary>Name of the file that holds the windows beyond those to calibrate on.</summary>
    public const string MoreFileName = "tuning.ids.jsonl";

    /// <summary>Wraps windows that are there already; the other properties say where they came from.</summary>
    /// <param name="windows">At least one, all of one length.</param>
    /// <param name="heldOutWindows">Of the same length; perhaps none.</param>
    /// <param name="moreWindows">Of the same length; perhaps none, or null.</param>
    /// <param name="masks">Which tokens of windows, held-out windows and windows beyond, in this order, losses and statistics take; null for all.</param>
    /// <exception cref="ArgumentException">There is no window, lengths differ, or no token counts of the windows to calibrate on, or of those kept aside.</exception>
    public CalibrationSet(int[][] windows, int[][] heldOutWindows, int[][]? moreWindows = null, bool[][]? masks = null)
    {
        MoreWindows = moreWindows ?? [];
        if (windows.Length == 0) throw new ArgumentException("A calibration set has at least one window.", nameof(windows));
        if (windows.Concat(heldOutWindows).Concat(MoreWindows).Any(window => window.Length != windows[0].Length))
            throw new ArgumentException("All windows have one length.", nameof(windows));
        if (masks is not null && (masks.Length != windows.Length + heldOutWindows.Length + MoreWindows.Length || masks.Any(mask => mask.Length != windows[0].Length)))
            throw new ArgumentException("Every window has a mask of its length.", nameof(masks));
        if (masks is not null && (NoneCounts(masks[..windows.Length]) || (heldOutWindows.Length > 0 && NoneCounts(masks[windows.Length..(windows.Length + heldOutWindows.Length)]))))
            throw new ArgumentException("At least one token counts of the windows to calibrate on, and of those kept aside.", nameof(masks));
        Masks = masks;
        Windows = windows;
        HeldOutWindows = heldOutWindows;
        Fingerprint = ComputeFingerprint(windows, heldOutWindows, MoreWindows, masks);
    }

    /// <summary>Windows to calibrate on, all of <see cref="SequenceLength"/>.</summary>
    public int[][] Windows { get; }

    /// <summary>Windows kept aside, of the same length; perhaps none.</summary>
    public int[][] HeldOutWindows { get; }

    /// <summary>Windows beyond these, of the same length, for work on the whole model; perhaps none.</summary>
    public int[][] MoreWindows { get; }

    /// <summary>Which tokens of <see cref="Windows"/> and, behind them, of <see cref="HeldOutWindows"/> and <see cref="MoreWindows"/> losses and statistics take; null for all.</summary>
    public bool[][]? Masks { get; }

    /// <summary>Conversations that were put into text.</summary>
    public int Conversations { get; init; }

    /// <summary>Tokens of every window.</summary>
    public int SequenceLength => Windows[0].Length;

    /// <summary>Documents that were read, the last perhaps in part.</summary>
    public int Documents { get; init; }

    /// <summary>Tokens of the text that was encoded. Reading ends when there is enough, so a source may hold more.</summary>
    public long TokensFound { get; init; }

    /// <summary>Tokens in windows.</summary>
    public long TokensUsed => (long)(Windows.Length + HeldOutWindows.Length + MoreWindows.Length) * SequenceLength;

    /// <summary>Tokens encoded and not used.</summary>
    public long TokensDropped => TokensFound - TokensUsed;

    /// <summary>The sources in reading order.</summary>
    public IReadOnlyList<CalibrationSource> Sources { get; init; } = [];

    /// <summary>What each of several weighted texts gave, in order; empty where texts have no weights.</summary>
    public IReadOnlyList<CalibrationShare> Shares { get; init; } = [];

    /// <summary>What was read otherwise than it stands or left out, and sources that are given twice; a sentence each.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];

    /// <summary>SHA-256 of the number and length of windows and of all ids, and masks where there are, as 32-bit little-endian integers, lower-case hexadecimal.</summary>
    public string Fingerprint { get; }

    /// <summary>
    /// Writes the ids, one JSON array a line, to <paramref name="path"/>, those of <see cref="HeldOutWindows"/> to
    /// <see cref="HeldOutFileName"/> and those of <see cref="MoreWindows"/> to <see cref="MoreFileName"/> beside it. Each file appears whole or not at all.
    /// </summary>
    /// <exception cref="IOException">The folder cannot be written.</exception>
    public void Save(string path)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        WriteIds(path, Windows);
        Beside(HeldOutFileName, HeldOutWindows);
        Beside(MoreFileName, MoreWindows);

        // Ids of an earlier run would pass for this one's.
        void Beside(string name, int[][] windows)
        {
            string file = Path.Combine(folder, name);
            if (windows.Length == 0) File.Delete(file);
            else WriteIds(file, windows);
        }
    }

    /// <summary>Whether no token counts.</summary>
    internal static bool NoneCounts(IEnumerable<bool[]> masks) => !masks.Any(mask => mask.Contains(true));

    private static void WriteIds(string path, int[][] windows)
    {
        var text = new StringBuilder();
        foreach (int[] window in windows) text.Append('[').AppendJoin(',', window).Append("]\n");
        AtomicFile.WriteAllText(path, text.ToString());
    }

    private static string ComputeFingerprint(int[][] windows, int[][] heldOut, int[][] more, bool[][]? masks)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Append(hash, [windows.Length, heldOut.Length, windows[0].Length]);
        foreach (int[] window in windows) Append(hash, window);
        foreach (int[] window in heldOut) Append(hash, window);
        foreach (int[] window in more) Append(hash, window);
        foreach (bool[] mask in masks ?? []) Append(hash, [.. mask.Select(counts => counts ? 1 : 0)]);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static void Append(IncrementalHash hash, ReadOnlySpan<int> ids)
    {
        var bytes = new byte[ids.Length * sizeof(int)];
        for (int i = 0; i < ids.Length; i++) BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(i * sizeof(int)), ids[i]);
        hash.AppendData(bytes);
    }
}
