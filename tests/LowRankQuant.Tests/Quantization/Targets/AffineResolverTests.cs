using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Files;
using LowRankQuant.Quantization.Recipes.Resolving;
using LowRankQuant.Quantization.Targets;

namespace LowRankQuant.Tests.Quantization.Targets;

/// <summary>Float minima as recipes ask for them: what they become, and what is refused before any work.</summary>
public sealed class AffineResolverTests
{
    private static readonly RecipeRequest Minima = new() { Method = "rtn", Bits = 4, GroupSize = 64, Zeros = ZeroKind.Float };

    [Fact]
    public void ZerosAndNamesGiveTheGridAndTheRecipeGivesItAgain()
    {
        foreach ((RecipeRequest request, AffineGrid grid, ScaleType type) in new[]
        {
            (Minima, new AffineGrid(4, 64), ScaleType.BFloat16),
            (new RecipeRequest { Method = "rtn", Grid = "q4_1" }, new AffineGrid(4, 32), ScaleType.Float16),
            (new RecipeRequest { Method = "rtn", Grid = "5:96:affine" }, new AffineGrid(5, 96), ScaleType.BFloat16),
        })
        {
            Recipe recipe = Resolve(request).Recipe;
            Assert.Equal((grid, type, false), (recipe.Grid, recipe.ScaleType, recipe.Symmetric));
            Assert.Equal("float", (string?)RecipeFile.Write(recipe)["weights"]!["zeros"]);
            RecipeRequest again = RecipeReader.Read(RecipeFile.Text(recipe), "recipe.json", BuiltInMethods.Catalog).Request;
            Assert.Equal(RecipeFile.Text(recipe), RecipeFile.Text(Resolve(again).Recipe));
        }
    }

    [Fact]
    public void LayersMayHaveMinimaAndNotHaveThem()
    {
        RecipeRequest request = new() { Method = "rtn", Bits = 4, GroupSize = 64, LayerRules = Rules("down_proj=3:32:affine", "o_proj=q5_1") };
        Scheme scheme = Resolve(request).Recipe.Scheme;
        Assert.Equal((new AffineGrid(3, 32), new AffineGrid(5, 32)), (scheme.For("mlp.down_proj").Grid, scheme.For("self_attn.o_proj").Grid));
        Assert.Equal((new UniformGrid(4, false, Granularity.Group, 64), ScaleType.Float16), (scheme.Grid, scheme.ScaleType));
        Scheme turned = Resolve(Minima with { LayerRules = Rules("down_proj=8", "o_proj=4:asymmetric", "up_proj=4:symmetric") }).Recipe.Scheme;
        Assert.Equal(new AffineGrid(8, 64), turned.For("mlp.down_proj").Grid);
        Assert.Equal(new UniformGrid(4, false, Granularity.Group, 64), turned.For("self_attn.o_proj").Grid);
        Assert.Equal(new UniformGrid(4, true, Granularity.Group, 64), turned.For("mlp.up_proj").Grid);
        Recipe recipe = Resolve(Minima with { LayerRules = Rules("down_proj=8", "o_proj=4:asymmetric") }).Recipe;
        Assert.Equal(RecipeFile.Text(recipe), RecipeFile.Text(Resolve(RecipeReader.Read(RecipeFile.Text(recipe), "recipe.json", BuiltInMethods.Catalog).Request).Recipe));
    }

    public static TheoryData<string, string> Refusals => new()
    {
        { "symmetric", "`zeros` float contradicts `symmetric` true" },
        { "channel", "`zeros` float needs groups: whoever holds a float minimum holds one per group (MLX of 32, 64 or 128 inputs, GGUF of 32); give a number as `group_size`." },
        { "tensor", "`zeros` float needs groups" },
        { "none", "`zeros` float needs groups" },
        { "grid", "`zeros` float contradicts `grid` Q4_K" },
        { "named", "`zeros` integer contradicts `grid` 4:32:affine, which has float minima" },
        { "halves", "`scale_dtype` other than fp16 contradicts `grid` 4:32:affine" },
        { "layer", "PATTERN=GRID" },
        { "budget", "leave out `zeros` float" },
        { "autoround", "method autoround does not work with float minima (w4 affine g64); give `zeros` integer, or one of lrq" },
        { "activations", "`activations` do not go with float minima (w4 affine g64)" },
        { "cache", "`cache` does not go with float minima (w4 affine g64)" },
        { "tune", "`tune.steps` does not apply to float minima" },
        { "vllm", "`target` vllm cannot hold w4 affine g64 in self_attn.q_proj" },
        { "gptq", "gptq has no place for a float minimum per group (w4 affine g64); the nearest that fits is w4 asymmetric g64" },
        { "awq", "awq has no place for a float minimum per group" },
        { "compressed-tensors", "compressed-tensors has no place for a float minimum per group (w4 affine g64); the nearest that fits is w4 asymmetric g64" },
        { "llama.cpp", "no block with a float minimum has more than 5 bits" },
        { "mlx", "mlx stores 1, 2, 3, 4, 5, 6 or 8 bits, not 7" },
    };

    [Theory]
    [MemberData(nameof(Refusals))]
    public void WhatCannotBeDoneIsToldWithItsRemedy(string what, string reason)
    {
        RecipeRequest request = what switch
        {
            "symmetric" => Minima with { Symmetric = true },
            "channel" => Minima with { Granularity = Granularity.Channel, GroupSize = null },
            "tensor" => Minima with { Granularity = Granularity.Tensor, GroupSize = null },
            "none" => Minima with { GroupSize = null },
            "grid" => new RecipeRequest { Method = "rtn", Grid = "q4_k", Zeros = ZeroKind.Float, LayerRules = Rules("*=4:32") },
            "named" => new RecipeRequest { Method = "rtn", Grid = "q4_1", Zeros = ZeroKind.Integer },
            "halves" => new RecipeRequest { Method = "rtn", Grid = "q4_1", ScaleType = ScaleType.BFloat16 },
            "layer" => Minima with { LayerRules = Rules("down_proj=4:channel:affine") },
            "budget" => Minima with { Method = "flrq+", Bits = null, HasCalibration = true, Options = Asked.For(("target_bits", 4)) },
            "autoround" => Minima with { Method = "autoround", HasCalibration = true },
            "activations" => Minima with { Activations = "8:token" },
            "cache" => Minima with { Cache = "8:token" },
            "tune" => Minima with { HasCalibration = true, TuneSteps = 4 },
            "llama.cpp" => Minima with { Bits = 6, Target = Target.LlamaCpp },
            "mlx" => Minima with { Bits = 7, Target = Target.Mlx, ScaleType = ScaleType.Float16 },
            _ => Minima with { Target = TargetNames.Targets.Single(target => target.Key == what).Value },
        };
        Assert.Contains(Assert.Throws<RecipeException>(() => Resolve(request)).Problems, problem => problem.Contains(reason, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(Target.Mlx, 4, 64, "mlx computes a code times its scale")]
    [InlineData(Target.LlamaCpp, 4, 32, null)]
    [InlineData(Target.LlamaCpp, 5, 96, null)]
    public void TargetsThatHoldMinimaTakeThem(Target target, int bits, int group, string? note)
    {
        ResolvedRecipe resolved = Resolve(Minima with { Bits = bits, GroupSize = group, Target = target });
        Assert.Equal((new AffineGrid(bits, group), (int?)null), (resolved.Recipe.Grid, resolved.Recipe.ScaleDigits));
        if (note is not null) Assert.Contains(resolved.Notes, text => text.Contains(note, StringComparison.Ordinal));
    }

    private static LayerRule[] Rules(params string[] items) => [.. items.Select(LayerRule.Of)];

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
