using LowRankQuant.Numerics;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Quantization.Layers;

/// <summary>
/// A growing sum X^T X [n, n] in double precision, in the order of <see cref="WindowSegments"/>. It is symmetric, so panels of columns are kept from the diagonal downwards: little
/// more than half of it, and the product of a window needs no more than a panel.
/// </summary>
/// <param name="size">n.</param>
internal sealed class SecondMoments(int size)
{
    // Columns that are computed together: enough for the products, and little of them twice.
    private const int PanelColumns = 1024;

    private SegmentedMatrix?[] _panels = [.. Enumerable.Range(0, (size + PanelColumns - 1) / PanelColumns).Select(panel => new SegmentedMatrix((long)(size - (panel * PanelColumns)) * Width(size, panel)))];

    /// <summary>Bytes of a sum of several runs: of the runs that ended, and of the one that goes on.</summary>
    /// <param name="size">n.</param>
    public static long BytesOf(long size) => sizeof(double) * size * (size + Math.Min(size, PanelColumns));

    /// <summary>Adds tokens to the run that goes on.</summary>
    /// <param name="x">[tokens, n].</param>
    public void Add(Tensor x)
    {
        for (int panel = 0; panel < _panels.Length; panel++)
        {
            int column = panel * PanelColumns;
            using Tensor product = x.Device.Empty(size - column, Width(size, panel));
            x.Device.Kernels.GramPanel(x, column, product);
            _panels[panel]!.Add(product);
        }
    }

    /// <summary>Ends a run.</summary>
    public void EndSegment()
    {
        foreach (SegmentedMatrix? panel in _panels) panel!.EndSegment();
    }

    /// <summary>X^T X / tokens, [n, n]. The sum itself is gone then, panel by panel as it is read.</summary>
    /// <param name="tokens">Tokens that were added.</param>
    public double[] TakeMean(long tokens)
    {
        double[] mean = GC.AllocateUninitializedArray<double>(size * size);
        double count = Math.Max(1, tokens);
        for (int panel = 0; panel < _panels.Length; panel++)
        {
            int column = panel * PanelColumns, wide = Width(size, panel);
            double[] sum = _panels[panel]!.Total;
            for (int row = column; row < size; row++)
            {
                ReadOnlySpan<double> from = sum.AsSpan((row - column) * wide, wide);
                Span<double> to = mean.AsSpan((row * size) + column, wide);
                for (int i = 0; i < wide; i++) to[i] = from[i] / count;
            }
            // What lies beside the panel, to the right of it: read side by side, written to as few lines as it has columns.
            for (int row = column + wide; row < size; row++)
            {
                ReadOnlySpan<double> from = mean.AsSpan((row * size) + column, wide);
                for (int i = 0; i < wide; i++) mean[((column + i) * size) + row] = from[i];
            }
            _panels[panel] = null;
        }
        _panels = [];
        return mean;
    }

    private static int Width(int size, int panel) => Math.Min(PanelColumns, size - (panel * PanelColumns));
}
