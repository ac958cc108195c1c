using System.Diagnostics;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Files;
using LowRankQuant.Quantization.Recipes.Resolving;

namespace LowRankQuant.Tests.Quantization;

/// <summary>Recipe files of strangers: refused by name, in time, with a refusal that can be read.</summary>
public sealed class HostileRecipeTests
{
    // Those of them that took for ever took minutes.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private const string Slow = "re:(.+)+(.+)+(.+)+(.+)+(.+)+(.+)+!";

    [Theory]
    [InlineData("preset: fast\nwta_: \0\0~\nscheme: w8a8\n \nseigsize: ")]
    [InlineData("weights: {bits: \u001b[, group_size: 128}\n:\n  - data: {[x")]
    [InlineData("da\0 - [rq\nda ")]
    [InlineData("seed: !!int[[[[f 3")]
    public void TextsThatAreNoYaml(string text) => Assert.StartsWith("r.yaml, ", Refusal(text).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("k{0}: 1\n", "is no key of a recipe")]
    [InlineData("# {0}\n- x\n", "must be a map of keys and values")]
    public void ManyKeysOrProblemsTakeNoLongerThanTheirText(string line, string expected)
    {
        string text = string.Concat(Enumerable.Range(0, 80_000).Select(i => string.Format(System.Globalization.CultureInfo.InvariantCulture, line, i)));
        Assert.Contains(expected, Refusal(text).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AHundredProblemsAreToldAndTheOthersCounted()
    {
        RecipeException refusal = Refusal(string.Concat(Enumerable.Range(0, 5000).Select(i => $"k{i}: 1\n")));
        Assert.Equal(101, refusal.Problems.Count);
        Assert.Equal("r.yaml: there are 4900 more problems.", refusal.Problems[^1]);
    }

    [Fact]
    public void RangesOfBlocksAreNotWrittenOutForEver()
    {
        string text = $"blocks:\n  - {{blocks: [{string.Join(',', Enumerable.Repeat("0-99999", 100_000))}], seed: 1}}\n";
        Assert.Contains("must be numbers of blocks", Refusal(text).Message, StringComparison.Ordinal);
        Assert.Equal(100_000, BlockList.Parse("0-99999")!.Count);
    }

    [Fact]
    public void ExpressionsThatTakeTooLongAreRefusedWhereverTheyStand()
    {
        string rules = string.Concat(Enumerable.Range(0, 200).Select(i => $"  - {{match: '{Slow}{i}', bits: 4}}\n"));
        Assert.Single(Refusal($"stages: [rtn]\nlayers:\n{rules}").Problems, problem => problem.Contains("takes too long", StringComparison.Ordinal));
        RecipeException refusal = Refusal($"stages: [rtn]\nactivations: 8:tensor\nper_token: ['{Slow}']\ndata: {{calibration: a.txt}}\n");
        Assert.StartsWith($"`per_token` {Slow}: the expression takes too long", Assert.Single(refusal.Problems), StringComparison.Ordinal);
        // Found in the first linear, and too slow for the last.
        refusal = Refusal($"stages: [rtn]\nactivations: 8:tensor\nper_token: ['re:0.q$|(.+)+(.+)+(.+)+(.+)+(.+)+(.+)+!']\ndata: {{calibration: a.txt}}\n");
        Assert.Contains("takes too long", Assert.Single(refusal.Problems), StringComparison.Ordinal);
    }

    private static RecipeException Refusal(string text)
    {
        long start = Stopwatch.GetTimestamp();
        RecipeException refusal = Assert.Throws<RecipeException>(() =>
        {
            RecipeDocument document = RecipeReader.Read(text, "r.yaml", BuiltInMethods.Catalog);
            ModelLayout layout = ModelLayout.OfBlock([new("q", 256, 256), new("mlp.a_rather_long_name_of_a_projection", 256, 256)], 2);
            RecipeResolver.Resolve(BuiltInMethods.Catalog, document.Request with { HasCalibration = document.Texts.Calibration.Count > 0 }, RecipeResolverTests.Model() with { Layers = 2 }, layout, ScaleType.Float16);
        });
        Assert.True(Stopwatch.GetElapsedTime(start) < Patience, $"{Stopwatch.GetElapsedTime(start)}");
        return refusal;
    }
}
