using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Resolving;

namespace LowRankQuant.Tests.Quantization;

/// <summary>What <c>gptq</c>, <c>awq</c> and <c>autoround</c> take, what they are where nobody says, and what they refuse.</summary>
public sealed class BaselineResolverTests
{
    private static readonly LinearShape[] Linears = [new("q", 256, 256), new("down", 256, 512)];

    private static readonly RecipeRequest Gptq = new() { Method = "gptq", Bits = 3, Granularity = Granularity.Group, GroupSize = 64, HasCalibration = true };

    [Fact]
    public void GptqIsActOrderWithStaticGroups()
    {
        Recipe recipe = Resolve(Gptq);
        Assert.Equal(("true", "true", "minmax", "0.01"), (recipe.Value("act_order"), recipe.Value("static_groups"), recipe.Value("start"), recipe.Value("damping")));
        Assert.Equal(("true", "0", "64", 64), (recipe.Value("true_sequential"), recipe.Value("gptaq"), recipe.Value("expert_floor"), recipe.Samples));
        Assert.Equal((false, false), (recipe.Method.MayHaveBranches, recipe.Method.PlansModel));
        Assert.False(recipe.Method.Create().NeedsFullPrecisionInput);
        Assert.True(Resolve(Gptq with { Options = Asked.For(("gptaq", 0.25)) }).Method.Create().NeedsFullPrecisionInput);
    }

    [Fact]
    public void ThePresetOfPapersTakesColumnsAsTheyStandAndGroupsInTurn()
    {
        Recipe recipe = Resolve(Gptq with { Preset = PresetNames.Paper });
        Assert.Equal(("false", "false"), (recipe.Value("act_order"), recipe.Value("static_groups")));
        recipe = Resolve(Gptq with { Preset = PresetNames.Paper, Options = Asked.For(("act_order", true)) });
        Assert.Equal(("true", "true"), (recipe.Value("act_order"), recipe.Value("static_groups")));
        recipe = Resolve(Gptq with { Options = Asked.For(("static_groups", false)) });
        Assert.Equal(("false", "false"), (recipe.Value("act_order"), recipe.Value("static_groups")));
    }

    [Fact]
    public void GroupsInTurnDoNotGoWithActOrder() => Assert.Contains(
        "`static_groups` false does not go with `act_order` true", Problems(Gptq with { Options = Asked.For(("act_order", true), ("static_groups", false)) }), StringComparison.Ordinal);

    [Fact]
    public void WhatSaysNothingIsRefused()
    {
        Assert.Contains("`static_groups` is about groups of weights", Problems(Gptq with { Granularity = Granularity.Channel, GroupSize = null, Options = Asked.For(("static_groups", true)) }), StringComparison.Ordinal);
        RecipeRequest native = new() { Method = "gptq", Grid = "q4_k", HasCalibration = true };
        string all = Problems(native with { Options = Asked.For(("static_groups", false), ("start", "search")) });
        Assert.Contains("`static_groups` does not apply to two-level grids", all, StringComparison.Ordinal);
        Assert.Contains("`start` does not apply to two-level grids", all, StringComparison.Ordinal);
        Recipe recipe = Resolve(native);
        Assert.Equal((null, null, GridStart.Search), (recipe.Value("static_groups"), recipe.Value("start"), recipe.Method.Start));
        Assert.Contains("`clip` does not apply to two-level grids", Problems(native with { Method = "awq", Options = Asked.For(("clip", true)) }), StringComparison.Ordinal);
        Assert.Null(Resolve(native with { Method = "awq" }).Value("clip"));
    }

    [Fact]
    public void DampingByHeldOutWindowsNeedsThem()
    {
        Assert.Equal("auto", Resolve(Gptq with { Options = Asked.For(("damping", "auto")) }).Value("damping"));
        Assert.Contains("`damping` auto needs held-out windows", Problems(Gptq with { HeldOut = 0, Options = Asked.For(("damping", "auto")) }), StringComparison.Ordinal);
        Assert.Contains("`gptaq` 2", Problems(Gptq with { Options = Asked.For(("gptaq", 2)) }), StringComparison.Ordinal);
    }

    [Fact]
    public void AwqScalesClipsAndRounds()
    {
        Recipe recipe = Resolve(Gptq with { Method = "awq" });
        Assert.Equal(("true", "20", "all", "true", 32), (recipe.Value("duo_scaling"), recipe.Value("n_grid"), recipe.Value("scale_sites"), recipe.Value("clip"), recipe.Samples));
        Assert.Empty(recipe.Transforms);
        Assert.Equal("awq scales", Assert.Single(recipe.TransformsOf(0)).Name);
        Assert.NotNull(recipe.Method.WholeBlock);
        Assert.Contains("`n_grid` 2", Problems(Gptq with { Method = "awq", Options = Asked.For(("n_grid", 2)) }), StringComparison.Ordinal);
        Assert.Contains("`act_order` does not apply to method awq; it is an option of gptq.", Problems(Gptq with { Method = "awq", Options = Asked.For(("act_order", true)) }), StringComparison.Ordinal);
    }

    [Fact]
    public void AutoRoundStepsAgainstSigns()
    {
        RecipeRequest request = Gptq with { Method = "autoround" };
        Recipe recipe = Resolve(request);
        Assert.Equal(("200", "0.005", "2", "plain", "true", 128), (recipe.Value("iterations"), recipe.Value("learning_rate"), recipe.Value("batch"), recipe.Value("loss"), recipe.Value("keep_best"), recipe.Samples));
        Assert.True(recipe.Method.Training is { SignDescent: true, KeepBestStep: false, KeepBest: true, LearnSteps: false });
        recipe = Resolve(request with { Preset = PresetNames.Paper, Options = Asked.For(("iterations", 1000)) });
        Assert.Equal(("0.002", "8", "false"), (recipe.Value("learning_rate"), recipe.Value("batch"), recipe.Value("keep_best")));
        Assert.True(recipe.Method.Training is { KeepBestStep: true, Restarts: 0 });
        Assert.Contains("two-level grids do not have", Problems(request with { Granularity = null, GroupSize = null, Bits = null, Grid = "q4_k" }), StringComparison.Ordinal);
        Assert.Contains("two-level grids do not have", Problems(request with { LayerRules = [new LayerRule("down", "q4_k")] }), StringComparison.Ordinal);
        Assert.Contains("`learn_steps` does not apply to method autoround", Problems(request with { Options = Asked.For(("learn_steps", true)) }), StringComparison.Ordinal);
        // With static activations too no value comes out that would not be taken again.
        recipe = Resolve(request with { Scheme = "w8a8", Bits = null, Granularity = null, GroupSize = null });
        Assert.Equal(("true", null), (recipe.Value("inside"), recipe.Value("learn_steps")));
    }

    [Theory]
    [InlineData("autoround", "iterations", "30", "learning_rate", "0.01", "batch", "4", "loss", "relative", "keep_best", "false")]
    [InlineData("gptq", "act_order", "false", "static_groups", "false", "start", "search", "damping", "auto", "true_sequential", "false", "gptaq", "0.5", "expert_floor", "3")]
    [InlineData("awq", "duo_scaling", "autoawq", "n_grid", "8", "scale_sites", "ungrouped", "clip", "false", "expert_floor", "3")]
    public void ValuesGivenAgainAreTheSame(string method, params string[] values)
    {
        (string, object)[] asked = [.. values.Chunk(2).Select(pair => (pair[0], (object)pair[1]))];
        Recipe recipe = Resolve(Gptq with { Method = method, Options = Asked.For(asked) });
        Assert.Equal(values, recipe.Method.Values.SelectMany(value => new[] { value.Key, value.Value }));
        Recipe again = Resolve(Gptq with { Method = method, Options = recipe.Method.Values.ToDictionary(value => value.Key, value => value.Value) });
        Assert.Equal(recipe.Method.Values, again.Method.Values);
        Assert.Equal(recipe.Method.Describe(), again.Method.Describe());
    }

    private static string Problems(RecipeRequest request) => string.Join('\n', Assert.Throws<RecipeException>(() => Resolve(request)).Problems);

    private static Recipe Resolve(RecipeRequest request) => RecipeResolver.Resolve(BuiltInMethods.Catalog, request, new DecoderConfig
    {
        ModelType = "llama",
        HiddenSize = 256,
        IntermediateSize = 512,
        Layers = 2,
        Heads = 8,
        KeyValueHeads = 8,
        HeadSize = 32,
        VocabularySize = 2048,
        MaxPositions = 512,
        NormEpsilon = 1e-5f,
        Activation = Activation.Silu,
        Rope = new RopeConfig { Theta = 10000, RotatedSize = 32 },
        TiedEmbeddings = true,
    }, ModelLayout.OfBlock(Linears, 2), ScaleType.Float16).Recipe;
}
