using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Resolving;
using LowRankQuant.Quantization.Targets;

namespace LowRankQuant.Tests.Quantization.Targets;

public sealed class LayerGridResolverTests
{
    private static readonly RecipeRequest Rounded = new() { Method = "rtn", Bits = 4, GroupSize = 32 };

    [Fact]
    public void NamedLayersGetTheirGridAndTheRestTheUsualOne()
    {
        Scheme scheme = Resolve(Rounded with { LayerRules = Rules("down_proj=q4_k", "self_attn.v_proj=8:symmetric", "o_proj=5:64:asymmetric", "gate_proj=3:channel") }).Recipe.Scheme;
        Assert.Equal(new UniformGrid(4, false, Granularity.Group, 32), scheme.For("self_attn.q_proj").Grid);
        Assert.Equal(TwoLevelGrid.Q4K, scheme.For("mlp.down_proj").Grid);
        Assert.Equal(new UniformGrid(8, true, Granularity.Group, 32), scheme.For("self_attn.v_proj").Grid);
        Assert.Equal(new UniformGrid(5, false, Granularity.Group, 64), scheme.For("self_attn.o_proj").Grid);
        Assert.Equal(new UniformGrid(3, false, Granularity.Channel), scheme.For("mlp.gate_proj").Grid);
        Assert.Equal((ScaleType.Float16, GridStart.MinMax), (scheme.ScaleType, scheme.Start));
        Assert.Equal(GridStart.Search, scheme.For("mlp.down_proj").Start);
    }

    [Fact]
    public void ALayerWithTheUsualGridIsNoException() =>
        Assert.Null(Resolve(Rounded with { LayerRules = Rules("down_proj=4", "up_proj=4:32:asymmetric") }).Recipe.Layers);

    // Rows of 576 have no K block; only down_proj, with 1536 inputs, has, and it alone is asked to use one.
    [Fact]
    public void OnlyTheLayersThatUseAGridHaveToFitIt()
    {
        RecipeRequest mixed = Rounded with { Symmetric = true, LayerRules = Rules("down_proj=q3_k"), Target = Target.LlamaCpp };
        Assert.Equal(["mlp.down_proj"], Resolve(mixed).Recipe.Layers!.Keys);
        RecipeRequest turned = new() { Method = "rtn", Grid = "q3_k", LayerRules = Rules("q_proj=4:32", "k_proj=4:32", "v_proj=4:32", "o_proj=4:32", "gate_proj=4:32", "up_proj=4:32") };
        Assert.Equal(new UniformGrid(4, true, Granularity.Group, 32), Resolve(turned).Recipe.Scheme.For("mlp.up_proj").Grid);
        Assert.Contains("up_proj", Assert.Single(Problems(mixed with { LayerRules = Rules("up_proj=q3_k") })), StringComparison.Ordinal);
        Assert.Contains("does not divide rows of 576", Assert.Single(Problems(mixed with { LayerRules = Rules("up_proj=q3_k"), Target = null })), StringComparison.Ordinal);
        Assert.Contains("does not divide rows of 576", Assert.Single(Problems(Rounded with { LayerRules = Rules("up_proj=4:128") })), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("down_proj", "PATTERN=GRID")]
    [InlineData("down_proj=", "PATTERN=GRID")]
    [InlineData("=4", "PATTERN=GRID")]
    [InlineData("down_proj=q9_k", "PATTERN=GRID")]
    [InlineData("down_proj=1", "PATTERN=GRID")]
    [InlineData("down_proj=4:0", "PATTERN=GRID")]
    [InlineData("down_proj=4:tensor", "PATTERN=GRID")]
    [InlineData("proj=4", "no linear of the model matches proj")]
    [InlineData("mlp=4", "blocks have self_attn.q_proj")]
    public void WhatCannotBeReadIsRefused(string item, string reason) =>
        Assert.Contains(reason, Assert.Single(Problems(Rounded with { LayerRules = Rules(item) })), StringComparison.Ordinal);

    [Fact]
    public void TheLastRuleThatMatchesCounts()
    {
        RecipeRequest request = Rounded with { LayerRules = Rules("*=3", "mlp.*=8", "self_attn.?_proj=5", @"re:^(0|29)\.=6", "1.mlp.down_proj=4") };
        Scheme scheme = Resolve(request).Recipe.Scheme;
        Assert.Equal(8, scheme.For("7.mlp.gate_proj").Grid.Bits);
        Assert.Equal(5, scheme.For("7.self_attn.o_proj").Grid.Bits);
        Assert.Equal(6, scheme.For("0.self_attn.o_proj").Grid.Bits);
        Assert.Equal(6, scheme.For("29.mlp.down_proj").Grid.Bits);
        Assert.Equal((4, 8), (scheme.For("1.mlp.down_proj").Grid.Bits, scheme.For("1.mlp.up_proj").Grid.Bits));
        // Alike in all blocks, they stand under their names within the block.
        Assert.Equal(["mlp.down_proj", "mlp.gate_proj", "mlp.up_proj"], Resolve(Rounded with { LayerRules = Rules("mlp.*=8") }).Recipe.Layers!.Keys.Order(StringComparer.Ordinal));
    }

    // A block whose exception is the usual grid of the run, where the rule for all others is not.
    [Fact]
    public void AnExceptionFromARuleMayBeTheUsualGrid()
    {
        Scheme scheme = Resolve(Rounded with { LayerRules = Rules("down_proj=8", "3.mlp.down_proj=4") }).Recipe.Scheme;
        Assert.Equal((8, 4), (scheme.For("2.mlp.down_proj").Grid.Bits, scheme.For("3.mlp.down_proj").Grid.Bits));
    }

    [Theory]
    [InlineData("re:(=4", "is no regular expression")]
    [InlineData("re:(.+)+(.+)+(.+)+(.+)+(.+)+(.+)+!=4", "takes too long")]
    [InlineData("re:nothing=4", "no linear of the model matches")]
    public void ExpressionsThatCannotBeUsedAreRefused(string item, string reason) =>
        Assert.Contains(reason, Assert.Single(Problems(Rounded with { LayerRules = Rules(item) })), StringComparison.Ordinal);

    [Fact]
    public void ContradictionsAreToldAtOnce()
    {
        IReadOnlyList<string> problems = Problems(Rounded with
        {
            Method = "flrq+",
            HasCalibration = true,
            ScaleType = ScaleType.BFloat16,
            LayerRules = Rules("down_proj=q4_k"),
            Options = Asked.For(("target_bits", 5)),
        });
        Assert.Single(problems, problem => problem.Contains("`scale_dtype` other than fp16", StringComparison.Ordinal));
        Assert.Single(problems, problem => problem.Contains("`target_bits`", StringComparison.Ordinal));
    }

    private static LayerRule[] Rules(params string[] items) => [.. items.Select(LayerRule.Of)];

    private static IReadOnlyList<string> Problems(RecipeRequest request) => Assert.Throws<RecipeException>(() => Resolve(request)).Problems;

    private static ResolvedRecipe Resolve(RecipeRequest request)
    {
        DecoderConfig model = RecipeResolverTests.Model() with { HiddenSize = 576 };
        LinearShape[] linears =
        [
            new("self_attn.q_proj", 576, 576), new("self_attn.k_proj", 192, 576), new("self_attn.v_proj", 192, 576), new("self_attn.o_proj", 576, 576),
            new("mlp.gate_proj", 1536, 576), new("mlp.up_proj", 1536, 576), new("mlp.down_proj", 576, 1536),
        ];
        return RecipeResolver.Resolve(BuiltInMethods.Catalog, request, model, ModelLayout.OfBlock(linears, model.Layers), ScaleType.BFloat16);
    }
}
