using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Quantization.Methods.Reconstruction;

/// <summary>First learning rates and first grids where nobody says which.</summary>
internal static class LearningRates
{
    /// <summary>Where learning starts at what another method has optimised already: larger ones destroy it first.</summary>
    private const double FastResidualRate = 5e-4;

    // Worse than the plain range where nothing is learned, better where it is: at 2, 3 and 4 bits, for LRQ and FlexRound (docs/results/start.md).
    private const GridStart FastStart = GridStart.Search;

    /// <summary>Of <c>fast</c> by code width: the row with the largest width not above the one asked for.</summary>
    private static readonly (int Bits, double LowRank, double Full)[] FastRates = [(4, 5e-3, 5e-3), (3, 1e-2, 1e-2), (2, 2e-2, 1e-2)];

    /// <summary>The same on two-level grids, for both forms: groups are small, so errors and with them the steps that pay are smaller (docs/results/two-level.md).</summary>
    private static readonly (int Bits, double Rate)[] TwoLevelRates = [(4, 2e-3), (3, 3e-3), (2, 5e-3)];

    /// <summary>The same on grids of floats (docs/results/floats.md).</summary>
    private static readonly (int Bits, double Rate)[] FloatRates = [(8, 5e-4), (4, 2e-3)];

    /// <summary>Learning rates and starts of the released scripts of LRQ, weight-only schemes, by size in billions of parameters and code width.</summary>
    private static readonly (double Billions, int Bits, double LowRank, GridStart LowRankStart, double Full, GridStart FullStart)[] PaperRates =
    [
        (7, 4, 9e-4, GridStart.MinMax, 3e-3, GridStart.MinMax),
        (7, 3, 6e-4, GridStart.Search, 2.5e-3, GridStart.MinMax),
        (13, 4, 6e-4, GridStart.MinMax, 7e-4, GridStart.MinMax),
        (13, 3, 5e-4, GridStart.Search, 5e-4, GridStart.Search),
        (70, 4, 5e-4, GridStart.MinMax, 5e-4, GridStart.MinMax),
        (70, 3, 5e-4, GridStart.MinMax, 5e-4, GridStart.Search),
    ];

    /// <summary>The rate and the first grid of a form of D.</summary>
    /// <param name="request">Preset, grid and size of the model.</param>
    /// <param name="form">Low rank or full.</param>
    public static (double Rate, GridStart Start) Of(MethodRequest request, ScaleForm form)
    {
        (double rate, GridStart start) = request.IsPaper ? Paper(request, form) : (Fast(request.Grid.Bits, form), FastStart);
        if (request.Grid is FloatGrid && !request.IsPaper) return (FloatRates.First(row => request.Grid.Bits >= row.Bits).Rate, start);
        if (request.Grid is not TwoLevelGrid) return (rate, start);
        // The integers of a two-level grid are never learned, so they are always searched for.
        return (request.IsPaper ? rate : TwoLevelRates.First(row => request.Grid.Bits >= row.Bits).Rate, GridStart.Search);
    }

    /// <summary>The same of a low-rank D that starts at the codes of another method.</summary>
    public static (double Rate, GridStart Start) OfResidual(MethodRequest request)
    {
        (double rate, GridStart start) = request.IsPaper ? Paper(request, ScaleForm.LowRank) : (FastResidualRate, GridStart.MinMax);
        return (rate, request.Grid is TwoLevelGrid ? GridStart.Search : start);
    }

    private static double Fast(int bits, ScaleForm form)
    {
        (_, double lowRank, double full) = FastRates.FirstOrDefault(row => bits >= row.Bits, FastRates[^1]);
        return form == ScaleForm.Full ? full : lowRank;
    }

    private static (double Rate, GridStart Start) Paper(MethodRequest request, ScaleForm form)
    {
        // 3 bits is the narrowest width of the scripts and 4 the widest; the nearest size is meant in ratios.
        int scriptBits = request.Grid.Bits >= 4 ? 4 : 3;
        var best = PaperRates[0];
        double distance = double.PositiveInfinity;
        foreach (var row in PaperRates)
        {
            double here = Math.Abs(Math.Log(request.Parameters / (row.Billions * 1e9)));
            if (row.Bits != scriptBits || here >= distance) continue;
            (best, distance) = (row, here);
        }
        return form == ScaleForm.Full ? (best.Full, best.FullStart) : (best.LowRank, best.LowRankStart);
    }
}
