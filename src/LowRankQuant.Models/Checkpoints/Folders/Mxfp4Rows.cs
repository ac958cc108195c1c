using LowRankQuant.Formats;
using LowRankQuant.Models.Decoder.Layouts;

namespace LowRankQuant.Models.Checkpoints.Folders;

/// <summary>
/// Rows of weights stored as MXFP4 (Open Compute Project, Microscaling Formats 1.0), as gpt-oss has its experts: codes of two E2M1 values a byte, the lower half
/// first, and for every 32 of them a scale 2^(byte - 127).
/// </summary>
internal static class Mxfp4Rows
{
    private const int Block = 32;
    private const int Bias = 127;
    private const int GgufBlock = 1 + (Block / 2);
    private static readonly float[] Values = [0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0f, -0.5f, -1, -1.5f, -2, -3, -4, -6];

    /// <summary>Bytes that a row of so many columns takes as blocks of GGUF.</summary>
    public static int GgufBytes(int columns) => columns / Block * GgufBlock;

    /// <summary>A row as blocks of GGUF: the scale's byte, then codes, those of the first half of a block in the lower halves of the bytes and the others in the upper ones.</summary>
    /// <param name="contents">The folder.</param>
    /// <param name="view">Where the weight lies.</param>
    /// <param name="row">Row of the weight.</param>
    /// <param name="blocks">Receives <see cref="GgufBytes"/> bytes.</param>
    public static void ToGguf(FolderContents contents, StoredView view, int row, Span<byte> blocks)
    {
        long first = view.ElementOf(row, 0);
        ReadOnlySpan<byte> codes = contents.Stored.GetBytes(view.Stored, first / 2, view.Columns / 2);
        ReadOnlySpan<byte> scales = contents.Stored.GetBytes(view.Mxfp4Scales, first / Block, view.Columns / Block);
        for (int block = 0; block < scales.Length; block++)
        {
            ReadOnlySpan<byte> pairs = codes.Slice(block * Block / 2, Block / 2);
            Span<byte> target = blocks.Slice(block * GgufBlock, GgufBlock);
            target[0] = scales[block];
            for (int i = 0; i < Block / 2; i++) target[1 + i] = (byte)(Code(pairs, i) | (Code(pairs, i + (Block / 2)) << 4));
        }
    }

    private static int Code(ReadOnlySpan<byte> pairs, int element) => (pairs[element / 2] >> (4 * (element % 2))) & 15;

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
