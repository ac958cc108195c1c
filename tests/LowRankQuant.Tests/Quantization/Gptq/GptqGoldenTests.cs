using System.Text.Json;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Methods.Gptq;
using LowRankQuant.Tests.Quantization.Flrq;
using LowRankQuant.Tests.Readers;

namespace LowRankQuant.Tests.Quantization.Gptq;

/// <summary>GPTQ and GPTAQ on the reference's layers, case by case: grids, codes, groups, dampings, errors.</summary>
public sealed class GptqGoldenTests : IDisposable
{
    // Grids are in 32 bits, so a weight this near to the middle between two codes may go the other way, and all behind it with it.
    private const double Narrow = 1e-4;

    private static readonly Lazy<MiniSafetensors> Tensors = new(() => new MiniSafetensors(TestData.Path("golden", "schemes", "gptq.safetensors")));
    private readonly WorkerPool _workers = new(2);

    public static TheoryData<string> Inputs => ["24x64", "16x96", "dead", "short", "indefinite"];

    public void Dispose() => _workers.Dispose();

    [Theory]
    [MemberData(nameof(Inputs))]
    public void CodesAreTheReferences(string input)
    {
        int different = 0, rows = 0, cases = 0;
        double relative = 0;
        foreach (JsonProperty figures in Figures().Where(figures => figures.Name.StartsWith(input + ".", StringComparison.Ordinal)))
        {
            (int unequal, int all, double error) = Compare(input, figures.Name, figures.Value);
            (different, rows, cases, relative) = (different + unequal, rows + all, cases + 1, relative + error);
        }
        TestContext.Current.TestOutputHelper?.WriteLine($"{input}: {cases} cases, {different} of {rows} rows differ, all of them at ties; errors {relative / cases:P3} of the reference's");
        // A flip at a tie changes the rest of its row for better or worse; over all cases the errors are the same.
        Assert.InRange(relative / cases, 0.98, 1.02);
    }

    private (int Different, int Rows, double Error) Compare(string input, string key, JsonElement figures)
    {
        JsonElement how = figures.GetProperty("options");
        bool symmetric = Flag("sym"), order = Flag("order"), still = Flag("static");
        int bits = how.GetProperty("bits").GetInt32(), group = how.TryGetProperty("group", out JsonElement size) ? size.GetInt32() : 0;
        var options = new GptqOptions { ActOrder = order, StaticGroups = group == 0 || still, Asymmetry = key.EndsWith(".gptaq", StringComparison.Ordinal) ? 0.25 : key.EndsWith(".gptaq1", StringComparison.Ordinal) ? 1 : 0 };
        double[] weight = Tensors.Value.Doubles($"{input}.W"), moments = Tensors.Value.Doubles($"{input}.H");
        int[] shape = Tensors.Value.Shape($"{input}.W");
        int m = shape[0], n = shape[1];
        var warnings = new List<string>();
        double[] dampings = [.. figures.GetProperty("damping").EnumerateArray().Select(value => value.GetDouble())];
        GptqInputs inputs = GptqInputs.Of((double[])moments.Clone(), options.Asymmetry > 0 ? Tensors.Value.Doubles($"{input}.dX") : null, n, options, dampings[0], key, warnings, _workers);
        Assert.Equal(dampings[^1], inputs.Damping, 1e-12);
        Assert.Equal(dampings.Length > 1, warnings.Exists(warning => warning.Contains("was used instead of", StringComparison.Ordinal)));
        LayerProblem problem = Problem(key, weight, m, n, new UniformGrid(bits, symmetric, group == 0 ? Granularity.Channel : Granularity.Group, group));
        GridWeight rounded = new GptqSolver(options).Round(problem, inputs);

        // With groups of columns that follow each other in the walk, a column's group is its place in it.
        int[] groupOf = [.. Enumerable.Range(0, n).Select(column => (options.StaticGroups || !order ? column : Array.IndexOf(inputs.Order!, column)) / rounded.GroupSize)];
        if (group > 0) Assert.Equal(Tensors.Value.Doubles($"{key}.g_idx"), Array.ConvertAll(groupOf, place => (double)place));
        double[] codes = Tensors.Value.Doubles($"{key}.code"), scales = Tensors.Value.Doubles($"{key}.s"), zeros = Tensors.Value.Doubles($"{key}.zero"), margins = Tensors.Value.Doubles($"{key}.margin");
        int different = 0;
        for (int row = 0; row < m; row++)
        {
            bool equal = rounded.Codes.Skip(row * n).Take(n).Select(code => (double)code).SequenceEqual(codes.Skip(row * n).Take(n));
            Assert.True(equal || margins[row] < Narrow, $"{key}: codes of row {row} differ, whose margin is {margins[row]:G3}");
            if (!equal)
            {
                different++;
                if (!options.StaticGroups) continue;
            }
            for (int i = row * rounded.Groups; i < (row + 1) * rounded.Groups; i++)
            {
                FlrqGolden.Near(scales[i], rounded.Scales[i], 1e-6, $"{key} scale {i}");
                if (margins[row] >= Narrow) Assert.Equal(zeros[i], rounded.Zeros[i]);
            }
        }
        double[] difference = [.. weight.Select((value, i) => value - Value(rounded, i, groupOf[i % n]))];
        double error = QuadraticForm.Rows(difference, moments, m, n, _workers).Sum();
        double expected = figures.GetProperty("error").GetDouble();
        if (different == 0) FlrqGolden.Near(expected, error, 1e-5, $"{key} error");
        return (different, m, error / expected);

        bool Flag(string name) => how.TryGetProperty(name, out JsonElement value) && value.GetBoolean();
    }

    private static double Value(GridWeight weight, int at, int group)
    {
        int index = (at / weight.Columns * weight.Groups) + group;
        return (weight.Codes[at] - weight.Zeros[index]) * weight.Scales[index];
    }

    [Fact]
    public void ADeadInputsWeightsBecomeZeroAndAreNamed()
    {
        var warnings = new List<string>();
        int n = Tensors.Value.Shape("dead.H")[0];
        GptqInputs inputs = GptqInputs.Of(Tensors.Value.Doubles("dead.H"), null, n, new GptqOptions(), 0.01, "layer", warnings, _workers);
        Assert.Equal(["layer: 2 of 32 inputs are 0 on every calibration token, such as input 5; the weights that read them become 0."], warnings);
        double[] ones = [.. Enumerable.Repeat(1.0, 2 * n)];
        Assert.Equal([5, 20, n + 5, n + 20], Enumerable.Range(0, 2 * n).Where(i => inputs.Living(ones)[i] == 0));
    }

    [Fact]
    public void InputsThatAreAllZeroLeaveTheWeights()
    {
        var warnings = new List<string>();
        GptqInputs inputs = GptqInputs.Of(new double[16], null, 4, new GptqOptions(), 0.01, "layer", warnings, _workers);
        Assert.Equal(["layer: all calibration inputs are zero; its weights are rounded as if all inputs were alike."], warnings);
        Assert.Equal([1, 2, 3, 4], inputs.Living([1, 2, 3, 4]));
    }

    [Fact]
    public void MomentsThatNoDampingHelpsAreRefused()
    {
        double[] moments = [1, 5, 5, 1];
        CalibrationException refused = Assert.Throws<CalibrationException>(() => GptqInputs.Of(moments, null, 2, new GptqOptions(), 0.01, "layer", [], _workers));
        Assert.Contains("cannot be factored even with a damping of 1", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void GptaqNeedsTheOtherInputs()
    {
        LayerProblem problem = Problem("layer", new double[8], 2, 4, new UniformGrid(4, false, Granularity.Channel));
        Assert.Contains("full-precision inputs", Assert.Throws<ArgumentException>(() => new GptqSolver(new GptqOptions { Asymmetry = 0.25 }).Solve(problem)).Message, StringComparison.Ordinal);
    }

    private LayerProblem Problem(string name, double[] weight, int rows, int columns, WeightGrid grid) => new()
    {
        Name = name,
        Weight = weight,
        OutFeatures = rows,
        InFeatures = columns,
        Inputs = InputStatistics.Of(new double[columns], columns, _workers),
        Grid = grid,
        ScaleType = ScaleType.Float32,
        Damping = 0.01,
        Seed = 1,
        Workers = _workers,
    };

    private static IReadOnlyList<JsonProperty> Figures() =>
        [.. JsonDocument.Parse(File.ReadAllBytes(TestData.Path("golden", "schemes", "gptq.json"))).RootElement.EnumerateObject().Some()];
}
