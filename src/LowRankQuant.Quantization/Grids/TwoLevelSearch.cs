using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Grids;

/// <summary>First two-level grids of a weight, block by block; see <see cref="TwoLevelBlockSearch"/>.</summary>
internal static class TwoLevelSearch
{
    private const int BlocksPerChunk = 16;

    /// <summary>Finds block scales and integers.</summary>
    /// <param name="weight">[outFeatures, inFeatures], row-major; inFeatures is a multiple of 256.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="grid">The grid.</param>
    /// <param name="start">Plain ranges, or refined by least squares.</param>
    /// <param name="importance">Weight of the squared error of every input, [in], such as the mean of its square; empty when all count alike.</param>
    /// <param name="workers">Threads; blocks are independent, so their number changes nothing.</param>
    /// <exception cref="ArgumentOutOfRangeException">A weight is not finite, or too large for block scales in halves.</exception>
    public static TwoLevelScales Find(
        ReadOnlyMemory<float> weight, int inFeatures, TwoLevelGrid grid, GridStart start, ReadOnlyMemory<float> importance, WorkerPool workers)
    {
        int blocks = weight.Length / TwoLevelGrid.BlockSize, blocksPerRow = grid.ScalesPerRow(inFeatures), groups = grid.GroupsPerBlock;
        var stored = new TwoLevelScales(
            new Half[blocks], new sbyte[blocks * groups], grid.Symmetric ? null : new Half[blocks], grid.Symmetric ? null : new byte[blocks * groups]);
        workers.Run((blocks + BlocksPerChunk - 1) / BlocksPerChunk, chunk =>
        {
            var search = new TwoLevelBlockSearch(grid);
            for (int block = chunk * BlocksPerChunk; block < Math.Min(blocks, (chunk + 1) * BlocksPerChunk); block++)
            {
                int column = block % blocksPerRow * TwoLevelGrid.BlockSize;
                BlockScales found = search.Find(
                    weight.Span.Slice(block * TwoLevelGrid.BlockSize, TwoLevelGrid.BlockSize),
                    importance.IsEmpty ? default : importance.Span.Slice(column, TwoLevelGrid.BlockSize), start);
                stored.BlockScales[block] = found.Scale;
                found.GroupScales.CopyTo(stored.GroupScales, block * groups);
                if (grid.Symmetric) continue;
                stored.BlockMinima![block] = found.Minimum;
                found.GroupMinima.CopyTo(stored.GroupMinima!, block * groups);
            }
        });
        return stored;
    }
}

/// <summary>Scales and minima of one block, and the weighted squared error that they leave.</summary>
/// <param name="Scale">d; not 0.</param>
/// <param name="Minimum">dmin; 0 when symmetric.</param>
/// <param name="GroupScales">sc of every group; none is 0.</param>
/// <param name="GroupMinima">m of every group; all 0 when symmetric.</param>
/// <param name="Error">Sum over the block of importance times squared error, codes to nearest.</param>
internal sealed record BlockScales(Half Scale, Half Minimum, sbyte[] GroupScales, byte[] GroupMinima, double Error);
