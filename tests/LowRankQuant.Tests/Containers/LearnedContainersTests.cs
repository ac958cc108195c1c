using LowRankQuant.Formats;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Tests.EndToEnd;

namespace LowRankQuant.Tests.Containers;

/// <summary>
/// Learned codes in every container: read back they are the same to the last code, stored scale and zero point, or the container refuses the run by
/// name. Compared here element by element, apart from the product's own <c>verify</c>.
/// </summary>
public class LearnedContainersTests
{
    private const string NoOtherWidth = "and AWQ has 4", TooManyDigits = "has more digits than Float16", TwoLevels = "two levels of scales, which only gguf holds";

    // The misfit of each container, or nothing where the run must come back.
    [Theory]
    [InlineData("--bits 4 --group-size 64 --symmetric", "", "", "", "", "")]
    [InlineData("--bits 4", "", "", "", "", TooManyDigits)]
    [InlineData("--bits 3 --group-size 64 --symmetric", "", "", NoOtherWidth, "", "")]
    [InlineData("--bits 3 --group-size 64", "", "", NoOtherWidth, "", TooManyDigits)]
    [InlineData("--bits 2 --group-size 64 --symmetric", "", "", NoOtherWidth, "", "")]
    [InlineData("--bits 2", "", "", NoOtherWidth, "", "")]
    [InlineData("--grid q4_k", "", TwoLevels, TwoLevels, TwoLevels, TwoLevels)]
    [InlineData("--grid q3_k", "", TwoLevels, TwoLevels, TwoLevels, TwoLevels)]
    [InlineData("--grid q2_k", "", TwoLevels, TwoLevels, TwoLevels, TwoLevels)]
    public async Task LearnedCodesComeBackFromEveryContainerThatHoldsThem(string grid, string gguf, string gptq, string awq, string compressed, string mlx)
    {
        using var folder = new TemporaryFolder();
        string run = folder.File("run");
        string[] scales = grid.StartsWith("--grid", StringComparison.Ordinal) ? [] : ["--scale-dtype", "fp16"];
        CliResult learned = await Lrq.Run([.. SmallDemo.Instead(Lrq.SmallRun(run, iterations: 3)).Where((_, i) => i is not (4 or 5)), .. grid.Split(' '), .. scales, .. SmallDemo.Texts]);
        Assert.True(learned.Code == 0, learned.Error);
        foreach ((string container, string misfit) in new[] { ("gguf", gguf), ("gptq", gptq), ("awq", awq), ("compressed-tensors", compressed), ("mlx", mlx), ("dense", "") })
        {
            string output = folder.File(container == "gguf" ? "model.gguf" : container);
            string[] type = container == "dense" ? ["--dtype", "fp32"] : [];
            CliResult result = await Lrq.Run(["export", run, "--to", container, "--out", output, .. type]);
            if (misfit.Length > 0)
            {
                Assert.True(result.Code == 2, $"{container} takes {grid}");
                Assert.Contains(misfit, result.Error, StringComparison.Ordinal);
                Assert.False(Path.Exists(output));
                continue;
            }
            Assert.True(result.Code == 0, $"{container}: {result.Error}");
            Compare(container, run, output);
            // What verify says of the folders is tested with rounded runs.
            if (container != "gguf") continue;
            CliResult verified = await Lrq.Run("verify", output, "--against", run);
            Assert.True(verified.Code == 0, $"{container}: {verified.Out}{verified.Error}");
        }
    }

    private static void Compare(string container, string run, string output)
    {
        using ICheckpoint expected = CheckpointOpener.Open(run), actual = CheckpointOpener.Open(output);
        string[] linears = [.. expected.TensorNames.Where(name => name.EndsWith("_proj.weight", StringComparison.Ordinal))];
        Assert.Equal(7 * SmallDemo.Layers, linears.Length);
        foreach (string name in linears)
        {
            QuantizedWeight wanted = expected.ReadQuantized(name)!;
            if (container == "dense")
            {
                float[] values = new float[wanted.Codes.Length], found = new float[values.Length];
                wanted.Dequantize(values);
                actual.Read(name, found);
                Assert.Equal(values, found);
            }
            else if (wanted is TwoLevelWeight native)
            {
                var same = Assert.IsType<TwoLevelWeight>(actual.ReadQuantized(name));
                Assert.Equal(native.Grid, same.Grid);
                Assert.Equal(native.Codes, same.Codes);
                Assert.Equal(native.Scales.BlockScales, same.Scales.BlockScales);
                Assert.Equal(native.Scales.GroupScales, same.Scales.GroupScales);
                Assert.Equal(native.Scales.BlockMinima, same.Scales.BlockMinima);
                Assert.Equal(native.Scales.GroupMinima, same.Scales.GroupMinima);
            }
            else
            {
                Compare((UniformWeight)wanted, actual.ReadOrdered(name)!);
            }
        }
    }

    private static void Compare(UniformWeight expected, OrderedWeight found)
    {
        Assert.Null(found.Columns);
        UniformWeight actual = found.Weight;
        // Q4_0 has no zero point: of three bits with one it keeps the differences.
        bool keepsZeros = actual.Grid.Bits == expected.Grid.Bits;
        for (int i = 0; i < expected.Codes.Length; i++)
        {
            (float scale, int zero) = Group(expected, i);
            (float storedScale, int storedZero) = Group(actual, i);
            Assert.Equal((scale, expected.Codes[i] - zero), (storedScale, actual.Codes[i] - storedZero));
            if (keepsZeros) Assert.Equal(zero, storedZero);
        }
    }

    private static (float Scale, int Zero) Group(UniformWeight weight, int element)
    {
        int group = element / weight.EffectiveGroupSize;
        return (weight.Scales[group], weight.ZeroPoints is { } zeros ? zeros[group] : weight.Grid.SymmetricZero);
    }
}
