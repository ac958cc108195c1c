using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Files;
using LowRankQuant.Quantization.Recipes.Resolving;
using LowRankQuant.Quantization.Targets;

namespace LowRankQuant.Tests.Quantization.Targets;

/// <summary>Which rules of layers take linears that stay in their own type by default, and which leave others so.</summary>
public sealed class KeptLayerTests
{
    private static readonly RecipeRequest Rounded = new() { Method = "rtn", Bits = 4, GroupSize = 32 };

    [Theory]
    [InlineData("in_proj_ba=8:64", "linear_attn.in_proj_ba")]
    [InlineData("linear_attn.in_proj_ba=8", "linear_attn.in_proj_ba")]
    [InlineData("*.in_proj_ba=8", "linear_attn.in_proj_ba")]
    [InlineData("3.linear_attn.in_proj_ba=8", "3.linear_attn.in_proj_ba")]
    [InlineData("gate=8", "mlp.gate")]
    [InlineData("mlp.gate=4", "mlp.gate")]
    [InlineData("*=3", "")]
    [InlineData("mlp.*=8", "")]
    [InlineData("mlp.gat*=8", "")]
    [InlineData("re:gate=8", "")]
    [InlineData("in_proj_ba=8,*=3", "linear_attn.in_proj_ba")]
    [InlineData("in_proj_ba=8,linear_attn.*=keep", "")]
    [InlineData("in_proj_ba=keep", "")]
    public void OnlyANameInFullTakesWhatUsuallyStays(string rules, string expected)
    {
        Recipe recipe = Resolve(Rounded with { LayerRules = Rules(rules) }).Recipe;
        Assert.Equal(expected, string.Join(' ', recipe.Selection?.Quantized ?? []));
        Assert.Equal(recipe.Scheme.For("3.mlp.up_proj").Grid.Bits, rules.Contains("*=3", StringComparison.Ordinal) ? 3 : rules == "mlp.*=8" ? 8 : 4);
    }

    [Fact]
    public void TheyHaveTheirGridWhereTheyAreTakenAndNowhereElse()
    {
        Recipe all = Resolve(Rounded with { LayerRules = Rules("in_proj_ba=8:64,1.linear_attn.in_proj_ba=6") }).Recipe;
        Assert.Equal((8, 6), (all.Scheme.For("0.linear_attn.in_proj_ba").Grid.Bits, all.Scheme.For("1.linear_attn.in_proj_ba").Grid.Bits));
        Recipe one = Resolve(Rounded with { LayerRules = Rules("1.linear_attn.in_proj_ba=8:64") }).Recipe;
        Assert.Equal(["1.linear_attn.in_proj_ba"], one.Layers!.Keys);
        ModelLayout layout = Layout().Select(one.Selection);
        Assert.Equal(["1.linear_attn.in_proj_ba"], layout.Modules.Where(linear => linear.KeptByDefault).Select(linear => linear.Name));
    }

    [Theory]
    [InlineData("v_proj=keep", "self_attn.v_proj")]
    [InlineData("v_proj=KEEP", "self_attn.v_proj")]
    [InlineData("mlp.*_proj=keep", "mlp.gate_proj mlp.up_proj mlp.down_proj")]
    [InlineData(@"re:^0\.self_attn\.[qk]_proj=keep", "0.self_attn.q_proj 0.self_attn.k_proj")]
    [InlineData("self_attn.*=keep,o_proj=6", "self_attn.q_proj self_attn.k_proj self_attn.v_proj")]
    [InlineData("o_proj=6,self_attn.*=keep", "self_attn.q_proj self_attn.k_proj self_attn.v_proj self_attn.o_proj")]
    public void KeepLeavesWhatItMatches(string rules, string expected)
    {
        ResolvedRecipe resolved = Resolve(Rounded with { LayerRules = Rules(rules) });
        Assert.Equal(expected, string.Join(' ', resolved.Recipe.Selection!.Kept));
        Assert.Contains(resolved.Notes, note => note.StartsWith("In their own type, and not quantized, stay ", StringComparison.Ordinal) && note.Contains(expected.Split(' ')[0], StringComparison.Ordinal));
        ModelLayout layout = Layout().Select(resolved.Recipe.Selection);
        Assert.DoesNotContain(layout.Modules, linear => expected.Split(' ').Any(name => linear.Name.EndsWith("." + name, StringComparison.Ordinal) || linear.Name == name));
    }

    [Theory]
    [InlineData("*=keep", "leaves every linear in its own type")]
    [InlineData("in_proj_*=8", "matches linear_attn.in_proj_ba alone, which stay in their own type unless a pattern ends with their name in full; give in_proj_ba=8")]
    [InlineData("re:in_proj_ba=8", "give in_proj_ba=8")]
    [InlineData("nothing=keep", "no linear of the model matches nothing")]
    [InlineData("in_proj_ba=9", "PATTERN=GRID")]
    [InlineData("in_proj_ba=4:100", "does not divide rows of 576")]
    public void WhatCannotBeDoneIsRefused(string rules, string reason) =>
        Assert.Contains(reason, Assert.Single(Problems(Rounded with { LayerRules = Rules(rules) })), StringComparison.Ordinal);

    /// <summary>Groups that do not divide rows matter only where rows are quantized.</summary>
    [Fact]
    public void WhatStaysNeedNotFitAGrid()
    {
        Assert.Contains("`group_size` 512 does not divide every layer", Assert.Single(Problems(Rounded with { GroupSize = 512 })), StringComparison.Ordinal);
        Recipe recipe = Resolve(Rounded with { GroupSize = 512, LayerRules = Rules("self_attn.*=keep,gate_proj=keep,up_proj=keep") }).Recipe;
        Assert.Equal(["mlp.down_proj"], Layout().Select(recipe.Selection).Kinds.Select(linear => linear.Name));
    }

    [Theory]
    [InlineData("v_proj=keep")]
    [InlineData("in_proj_ba=8:64")]
    [InlineData("in_proj_ba=4")]
    [InlineData("1.linear_attn.in_proj_ba=4,2.linear_attn.in_proj_ba=8")]
    [InlineData("in_proj_ba=4,2.linear_attn.in_proj_ba=8,gate=6,v_proj=8,0.*=keep")]
    [InlineData("v_proj=keep,2.self_attn.v_proj=8")]
    [InlineData("down_proj=q4_k,o_proj=keep")]
    public void ARecipeReadAgainChoosesTheSame(string rules)
    {
        Recipe recipe = Resolve(Rounded with { LayerRules = Rules(rules) }).Recipe;
        foreach (string text in new[] { RecipeFile.Text(recipe), RecipeFile.Yaml(recipe) })
        {
            Recipe read = Resolve(RecipeReader.Read(text, "recipe", BuiltInMethods.Catalog).Request).Recipe;
            Assert.Equal(RecipeFile.Text(recipe), RecipeFile.Text(read));
            Assert.Equal(recipe.Selection!.Kept.Order(), read.Selection!.Kept.Order());
            Assert.Equal(recipe.Selection.Quantized.Order(), read.Selection.Quantized.Order());
            foreach (LinearShape linear in Layout().Select(recipe.Selection).Modules) Assert.Equal(recipe.Scheme.For(linear.Name).Grid, read.Scheme.For(linear.Name).Grid);
        }
    }

    [Fact]
    public void BudgetsAreSpentOnWhatIsLeft()
    {
        RecipeRequest request = new() { Method = "flrq+", HasCalibration = true, GroupSize = 64, LayerRules = Rules("v_proj=keep"), Options = Asked.For(("target_bits", 3.5)) };
        Assert.Equal(["self_attn.v_proj"], Resolve(request).Recipe.Selection!.Kept);
        Assert.Contains("`target_bits` chooses the width of every layer by itself", Assert.Single(Problems(request with { LayerRules = Rules("in_proj_ba=8:64") })), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(Target.Vllm, "v_proj=keep", "fuses self_attn.q_proj, self_attn.k_proj, self_attn.v_proj, and self_attn.v_proj would stay in its own type beside self_attn.q_proj in codes; keep all of them, or none")]
    [InlineData(Target.Vllm, "1.mlp.up_proj=keep", "fuses mlp.gate_proj, mlp.up_proj, and mlp.up_proj would stay")]
    [InlineData(Target.LlamaCpp, "gate=8:32:symmetric", "cannot hold w8 symmetric g32 in mlp.gate: GGUF files hold routers and other small gates as floats; no grid fits")]
    public void EnginesThatNeedOneTreatmentSaySo(Target target, string rules, string reason)
    {
        foreach (MisfitRule rule in Enum.GetValues<MisfitRule>())
        {
            // Grids that fit all other layers.
            RecipeRequest request = new() { Method = "rtn", Bits = target == Target.Vllm ? 3 : 8, GroupSize = 32, Symmetric = true, Target = target, OnMisfit = rule, LayerRules = Rules(rules) };
            Assert.Contains(reason, Assert.Single(Problems(request)), StringComparison.Ordinal);
        }
        if (target == Target.Vllm)
            Assert.NotNull(Resolve(new() { Method = "rtn", Bits = 3, GroupSize = 32, Symmetric = true, Target = target, LayerRules = Rules("self_attn.?_proj=keep,o_proj=3,in_proj_ba=3") }).Recipe.Selection);
    }

    [Fact]
    public void BlocksThatAreDoneAgainKeepTheirChoice()
    {
        RecipeRequest finished = Rounded with { LayerRules = Rules("v_proj=keep,in_proj_ba=8:64") };
        var problems = new List<string>();
        Recipe wider = Resolve(BlockRedo.Join(finished, new RecipeRequest { Bits = 6 }, [1], Layout(), problems)).Recipe;
        Assert.Equal(["self_attn.v_proj"], wider.Selection!.Kept);
        Assert.Equal(["linear_attn.in_proj_ba"], wider.Selection.Quantized);
        Assert.Equal((6, 4, 6), (wider.Scheme.For("1.mlp.up_proj").Grid.Bits, wider.Scheme.For("0.mlp.up_proj").Grid.Bits, wider.Scheme.For("1.linear_attn.in_proj_ba").Grid.Bits));
        Recipe all = Resolve(BlockRedo.Join(finished, new RecipeRequest { LayerRules = Rules("mlp.*=keep,v_proj=5,*=8") }, [1], Layout(), problems)).Recipe;
        Assert.DoesNotContain("1.mlp.gate", all.Selection!.Quantized);
        Assert.DoesNotContain("1.self_attn.v_proj", all.Selection.Kept);
        Assert.Contains("0.self_attn.v_proj", all.Selection.Kept);
        Assert.Empty(problems);
    }

    private static LayerRule[] Rules(string items) => [.. items.Split(',').Select(LayerRule.Of)];

    private static IReadOnlyList<string> Problems(RecipeRequest request) => Assert.Throws<RecipeException>(() => Resolve(request)).Problems;

    private static ModelLayout Layout() => ModelLayout.OfBlock(
        [
            new("self_attn.q_proj", 576, 576), new("self_attn.k_proj", 192, 576), new("self_attn.v_proj", 192, 576), new("self_attn.o_proj", 576, 576),
            new("linear_attn.in_proj_ba", 32, 576) { KeptByDefault = true }, new("mlp.gate", 8, 576) { KeptByDefault = true },
            new("mlp.gate_proj", 1536, 576), new("mlp.up_proj", 1536, 576), new("mlp.down_proj", 576, 1536),
        ], RecipeResolverTests.Model().Layers);

    private static ResolvedRecipe Resolve(RecipeRequest request) =>
        RecipeResolver.Resolve(BuiltInMethods.Catalog, request, RecipeResolverTests.Model() with { HiddenSize = 576 }, Layout(), ScaleType.Float16);
}
