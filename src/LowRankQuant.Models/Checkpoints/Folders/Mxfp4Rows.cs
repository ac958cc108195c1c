using LowRankQuant.Models.Decoder;

namespace LowRankQuant.Models.Checkpoints.Folders;

/// <summary>
/// Rows of weights stored as MXFP4 (Open Compute Project, Microscaling Formats 1.0), as gpt-oss has its experts: codes of two E2M1 values a byte, the lower half
/// first, and for every 32 of them a scale 2^(byte - 127).
/// </summary>
internal static class Mxfp4Rows
{
    private const int Block = 32;
    private const int Bias = 127;
    private static readonly float[] Values = [0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0f, -0.5f, -1, -1.5f, -2, -3, -4, -6];

    /// <summary>Reads rows as floats.</summary>
    /// <param name="contents">The folder.</param>
    /// <param name="view">Where they lie; the stored tensor holds the codes.</param>
    /// <param name="destination">[taken rows, columns].</param>
    /// <exception cref="CheckpointException">A scale stands for no number.</exception>
    public static void Read(FolderContents contents, StoredView view, Span<float> destination)
    {
        int columns = view.Columns, blocks = columns / Block;
        for (int row = 0; row < view.Pattern.Count; row++)
        {
            long first = view.ElementOf(row, 0);
            ReadOnlySpan<byte> codes = contents.Stored.GetBytes(view.Stored, first / 2, columns / 2);
            ReadOnlySpan<byte> scales = contents.Stored.GetBytes(view.Mxfp4Scales, first / Block, blocks);
            Span<float> values = destination.Slice(row * columns, columns);
            for (int block = 0; block < blocks; block++)
            {
                if (scales[block] == byte.MaxValue)
                    throw new CheckpointException($"{contents.Location}: tensor '{view.Mxfp4Scales}' holds 255, which stands for no number.");
                float scale = MathF.ScaleB(1, scales[block] - Bias);
                for (int i = 0; i < Block / 2; i++)
                {
                    byte pair = codes[(block * Block / 2) + i];
                    values[(block * Block) + (2 * i)] = Values[pair & 15] * scale;
                    values[(block * Block) + (2 * i) + 1] = Values[pair >> 4] * scale;
                }
            }
        }
    }
}
