using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Tests.Quantization;

/// <summary>
/// First grids and their codes against the 32-bit figures of LRQ's released code, for every input, width and kind of the reference data.
/// </summary>
public sealed class GridSearchGoldenTests
{
    private const double SmallGap = 1e-5;

    // The reference's own 32-bit and 64-bit codes differ in 44 places, each a rounding tie.
    private const int MostTies = 44;

    public static TheoryData<string> Inputs =>
    [
        "edge", "positive", "negative", "student4", "student8", "s260k.block0.q", "s260k.block2.down", "ts656k.block0.q", "ts656k.block1.down",
    ];

    [Theory]
    [MemberData(nameof(Inputs))]
    public void GridsAndCodesAreThoseOfTheReleasedCode(string input)
    {
        using SafetensorsFile golden = SafetensorsFile.Open(TestData.Path("golden", "lrq", "gridsearch.safetensors"));
        using var workers = new WorkerPool(1);
        float[] weight = GoldenBlockTests.Read<float>(golden, $"{input}.W");
        int columns = (int)golden.ShapeOf($"{input}.W")[1], checkedCases = 0, ties = 0;
        foreach (int bits in new[] { 2, 3, 4, 8 })
        {
            foreach (string kind in new[] { "minmax", "search", "symmetric" })
            {
                string key = $"{input}.b{bits}.{kind}";
                if (!golden.Contains($"{key}.f32.s")) continue;
                var grid = new UniformGrid(bits, kind == "symmetric", Granularity.Channel);
                GridParameters found = GridSearch.Find(weight, columns, grid, kind == "search" ? GridStart.Search : GridStart.MinMax, workers);
                CheckSteps(golden, key, found);
                if (kind == "search") CheckCandidates(golden, key, weight, columns, grid);
                ties += CheckCodes(golden, key, weight, columns, grid, found, workers);
                checkedCases++;
            }
        }
        // 8-bit searches are stored for the small inputs alone.
        Assert.InRange(checkedCases, 11, 12);
        Assert.InRange(ties, 0, MostTies);
    }

    private static void CheckSteps(SafetensorsFile golden, string key, GridParameters found)
    {
        float[] steps = GoldenBlockTests.Read<float>(golden, $"{key}.f32.s");
        bool[] open = OpenRows(golden, key, steps.Length);
        for (int row = 0; row < steps.Length; row++)
        {
            bool equal = Math.Abs(found.Steps[row] - steps[row]) <= 2e-7 * steps[row];
            Assert.True(equal || open[row], $"{key}, row {row}: s {found.Steps[row]:R} for {steps[row]:R}");
        }
        if (!golden.Contains($"{key}.f32.zero")) return;
        int[] zeros = GoldenBlockTests.Read<int>(golden, $"{key}.f32.zero");
        for (int row = 0; row < zeros.Length; row++)
        {
            if (!open[row]) Assert.True(zeros[row] == found.Zeros[row], $"{key}, row {row}: z {found.Zeros[row]} for {zeros[row]}");
        }
    }

    private static void CheckCandidates(SafetensorsFile golden, string key, float[] weight, int columns, UniformGrid grid)
    {
        int[] candidates = GoldenBlockTests.Read<int>(golden, $"{key}.f32.candidate");
        float[] scores = GoldenBlockTests.Read<float>(golden, $"{key}.f64.score");
        bool[] open = OpenRows(golden, key, scores.Length);
        bool oneSided = weight.Min() >= 0 || weight.Max() <= 0;
        for (int row = 0; row < scores.Length; row++)
        {
            GridCandidate found = GridSearch.FindLine(weight.AsSpan(row * columns, columns), grid, GridStart.Search, oneSided);
            // Whoever wins a tie, its score is the smallest.
            Assert.True(Math.Abs(found.Score - scores[row]) <= 1e-5 * scores[row], $"{key}, row {row}: score {found.Score:R} for {scores[row]:R}");
            if (!open[row]) Assert.Equal((candidates[2 * row], candidates[(2 * row) + 1]), (found.Index, found.ZeroCandidate));
        }
    }

    /// <summary>Rows that another candidate may win: the runner-up is as good. A row of zeros is none: the first candidate wins it by rule.</summary>
    private static bool[] OpenRows(SafetensorsFile golden, string key, int rows)
    {
        var open = new bool[rows];
        if (!golden.Contains($"{key}.f64.runner_up_gap")) return open;
        float[] gaps = GoldenBlockTests.Read<float>(golden, $"{key}.f64.runner_up_gap");
        float[] scores = GoldenBlockTests.Read<float>(golden, $"{key}.f64.score");
        for (int row = 0; row < rows; row++) open[row] = gaps[row] < SmallGap && scores[row] > 0;
        return open;
    }

    private static int CheckCodes(
        SafetensorsFile golden, string key, float[] weight, int columns, UniformGrid grid, GridParameters found, WorkerPool workers)
    {
        if (!golden.Contains($"{key}.f32.code")) return 0;
        byte[] expected = GoldenBlockTests.Read<byte>(golden, $"{key}.f32.code");
        bool[] open = OpenRows(golden, key, found.Steps.Length);
        byte[] actual = new UniformFit(weight.Length / columns, columns, grid, ScaleType.Float32, found).Round(weight, default, workers).Codes;
        int ties = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            if (expected[i] == actual[i] || open[i / columns]) continue;
            double place = (double)weight[i] / found.Steps[i / columns], fraction = Math.Abs(place - Math.Floor(place) - 0.5);
            bool tie = fraction < 3e-5 && Math.Abs(expected[i] - actual[i]) == 1;
            Assert.True(tie, $"{key}, element {i}: code {actual[i]} for {expected[i]}, W/s = {place:R}");
            ties++;
        }
        return ties;
    }
}
