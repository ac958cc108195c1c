using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Files;
using LowRankQuant.Runs;

namespace LowRankQuant.Tests.Cli;

/// <summary>Recipes as files: what a command line means can be printed, kept, changed and run again.</summary>
public sealed class RecipeCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Theory]
    [InlineData("--method lrq --bits 3 --rank 16 --iterations 7 --learning-rate 0.003 --seed 5")]
    [InlineData("--method flexround --grid q3_k --target llama.cpp --on-misfit nearest --loss plain --keep-best false")]
    [InlineData("--method rtn --bits 4 --group-size 32 --symmetric --layers down_proj=8,layers.0.*=5 --head 8 --start search")]
    [InlineData("--method flrq --bits 2 --group-size 64 --epochs 2 --sketch block --clip false")]
    [InlineData("--method flrq+ --target-bits 3.2 --group-size 64 --damping auto --tune-steps 3")]
    [InlineData("--method lrq --bits 3 --tune-steps 3 --tune-code-rate 0.03")]
    [InlineData("--method lrq+ --bits 3")]
    [InlineData("--method lrq+ --bits 3 --tune-code-rate 0")]
    [InlineData("--method qera-exact --rank 4 --residual lrq --residual-rank 8 --train-branch true --target vllm")]
    [InlineData("--method lrq --preset paper --samples 9 --held-out 2 --sequence-length 40")]
    public async Task APrintedRecipeMeansTheSame(string options)
    {
        string text = _folder.File("text.txt");
        File.WriteAllText(text, new string('a', 200_000));
        string[] source = options.Contains("rtn", StringComparison.Ordinal) ? [] : ["--calibration", text];
        foreach (bool json in new[] { false, true })
        {
            var cli = new CliHarness();
            string[] line = ["recipe", TestData.Demo, .. options.Split(' '), .. source, .. json ? ["--json"] : Array.Empty<string>()];
            Assert.Equal((0, true), (await cli.Run(line), cli.Out.Length > 0));
            string file = _folder.File(json ? "recipe.json" : "recipe.yaml");
            File.WriteAllText(file, cli.Out);
            QuantizeJob direct = await Job([.. options.Split(' '), .. source]), read = await Job(["--recipe", file]);
            Assert.Equal(RecipeFile.Text(direct.Recipe, direct.Texts), RecipeFile.Text(read.Recipe, read.Texts));
            // Every value is resolved: nothing is left to say when it is read.
            Assert.Equal(RecipeFile.Text(direct.Recipe, direct.Texts), RecipeFile.Text(RecipeReader.Read(File.ReadAllText(file), file, BuiltInMethods.Catalog) is { } document ? (await Job(["--recipe", file])).Recipe : null!, direct.Texts));
            Assert.Equal(direct.Calibration?.Sources, read.Calibration?.Sources);
        }
    }

    [Fact]
    public async Task TheCommandLineCountsMoreThanTheRecipe()
    {
        string file = Recipe("weights: {bits: 3, group_size: 32, symmetric: true}\nstages: [lrq: {rank: 4, iterations: 9}]\ndata: {samples: 8}\nevaluation: {eval_text: text.txt, eval_windows: 3}\n");
        File.WriteAllText(_folder.File("text.txt"), "text");
        QuantizeJob job = await Job(["--recipe", file, "--bits", "5", "--rank", "6", "--group-size", "channel", "--calibration", "some.txt"]);
        Assert.Equal((5, Granularity.Channel, 0, true), (job.Recipe.Bits, job.Recipe.Granularity, job.Recipe.GroupSize, job.Recipe.Symmetric));
        Assert.Equal((9, 8), (job.Recipe.Method.Training!.Iterations, job.Recipe.Samples));
        Assert.Contains(new("rank", "6"), job.Recipe.Method.Values);
        // Paths of a recipe are relative to it.
        Assert.Equal((_folder.File("text.txt"), 3), (job.EvaluationText, job.EvaluationWindows));
        // Options of another method say nothing about this one.
        Assert.Equal("flexround", (await Job(["--recipe", file, "--method", "flexround", "--calibration", "some.txt"])).Recipe.Method.Method);
    }

    [Fact]
    public async Task BlocksHaveWhatTheirLastRuleSaysAndTheRestOfTheOthers()
    {
        string file = Recipe("stages: [lrq: {rank: 4, iterations: 9}]\nblocks:\n  - {blocks: [0, 2], stage: {lrq: {iterations: 3}}}\n  - {blocks: 2-3, stage: lrq, seed: 7}\n  - {blocks: 1, stage: rtn}\n  - {blocks: 1, stage: {lrq: {rank: 4, iterations: 9}}}\n");
        Recipe recipe = (await Job(["--recipe", file, "--calibration", "some.txt"])).Recipe;
        // Block 1 is as the others again.
        Assert.Equal(["0", "2", "3"], recipe.Blocks.Select(own => BlockList.Text(own.Blocks)));
        Assert.Equal([(3, 42UL), (9, 42UL), (3, 7UL), (9, 7UL)], Enumerable.Range(0, 4).Select(block => (recipe.MethodOf(block).Training!.Iterations, recipe.SeedOf(block))));
        Assert.All(Enumerable.Range(0, 4), block => Assert.Contains(new("rank", "4"), recipe.MethodOf(block).Values));
        string printed = RecipeFile.Text(recipe);
        File.WriteAllText(_folder.File("again.json"), printed);
        Assert.Equal(printed, RecipeFile.Text((await Job(["--recipe", _folder.File("again.json"), "--calibration", "some.txt"])).Recipe));
        Assert.Empty((await Job(["--recipe", Recipe("stages: [lrq]\nblocks: [{blocks: 1, stage: lrq}]\n"), "--calibration", "some.txt"])).Recipe.Blocks);
    }

    [Theory]
    [InlineData("7,9", "7,9")]
    [InlineData("9, 7,8,7", "7-9")]
    [InlineData("0-1,5", "0,1,5")]
    [InlineData("", null)]
    [InlineData("3-1", null)]
    [InlineData("1-2-3", null)]
    [InlineData("-1", null)]
    [InlineData("0-999999999", null)]
    public void ListsOfBlocks(string text, string? expected) => Assert.Equal(expected, BlockList.Parse(text) is { } blocks ? BlockList.Text(blocks) : null);

    [Fact]
    public async Task EveryReadyRecipeResolves()
    {
        Assert.NotEmpty(ReadyRecipes.Names);
        // Those of the papers bring texts by name, which a hub has.
        foreach (string name in ReadyRecipes.Names.Where(name => !name.StartsWith("paper-", StringComparison.Ordinal)))
        {
            Assert.NotEqual("", ReadyRecipes.Summary(name));
            var cli = new CliHarness();
            Assert.Equal((0, ""), (await cli.Run("quantize", TestData.Demo, "--recipe", name, "--calibration", "some.txt", "--out", "out"), cli.Error));
            Assert.NotNull(cli.Quantized);
        }
        var unknown = new CliHarness();
        Assert.Equal(2, await unknown.Run("quantize", TestData.Demo, "--recipe", "w1a1", "--out", "out"));
        Assert.Contains("--recipe w1a1: neither a file nor a recipe that ships with lrq; those are", unknown.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("weigths: {bits: 3}", "line 1: 'weigths' is no key of a recipe. Did you mean weights?")]
    [InlineData("weights: {bits: three}", "line 1: 'three' must be a whole number.")]
    [InlineData("weights: 3", "line 1: weights must be a map of keys and values, and this is '3'.")]
    [InlineData("stages:\n  - lrq: {epochs: 3}", "line 2: 'epochs' is no key of method lrq.")]
    [InlineData("stages: [obc]", "line 1: 'obc' is no key of stages.")]
    [InlineData("stages: [lrq, rtn]", "line 1: rtn is a second method beside lrq; a recipe has one.")]
    [InlineData("stages: [tune: {steps: 3}, lrq]", "tune comes behind the method")]
    [InlineData("stages: [lrq, tune: {steps: 3}, tune]", "'tune' stands behind tune, which comes last.")]
    [InlineData("layers: [{match: down_proj}]", "a rule of layers has match, and either grid or bits")]
    [InlineData("blocks: [{blocks: 7, stage: obc}]", "a stage of blocks is one method")]
    [InlineData("blocks: [{blocks: seven, seed: 3}]", "'seven' must be numbers of blocks from 0")]
    [InlineData("blocks: [{blocks: [1, 2]}]", "a rule of blocks has blocks, and a stage (a method) or a seed")]
    [InlineData("blocks: [{stage: lrq}]", "a rule of blocks has blocks")]
    [InlineData("blocks: [{blocks: 1, stage: {lrq: {rnak: 3}}}]", "'rnak' is no key of method lrq. Did you mean rank?")]
    [InlineData("seed: &a 3", "anchors (&NAME) are not read")]
    [InlineData("weights: {bits: *a}", "aliases (*NAME) are not read")]
    [InlineData("seed: !!int 3", "tags (!NAME) are not read")]
    [InlineData("seed: 3\nseed: 4", "line 2: 'seed' is given twice.")]
    [InlineData("seed: 3\n---\nseed: 4", "holds more than one document")]
    [InlineData("", "holds no recipe")]
    [InlineData("seed: [[[[[[[[[[[[[[[[[[3]]]]]]]]]]]]]]]]]]", "nested deeper than 16 levels")]
    [InlineData("weights: {bits: 3", "line ")]
    [InlineData("target: {engine: tensorrt}", "'tensorrt' must be one of llama.cpp, vllm")]
    public async Task UnsoundRecipesAreRefusedWithTheirLine(string text, string message)
    {
        var cli = new CliHarness();
        string file = Recipe(text);
        Assert.Equal(2, await cli.Run("quantize", TestData.Demo, "--recipe", file, "--out", "out"));
        Assert.Contains(message, cli.Error, StringComparison.Ordinal);
        Assert.Contains(file, cli.Error, StringComparison.Ordinal);
        Assert.Null(cli.Quantized);
    }

    [Fact]
    public async Task AllThatIsWrongWithARecipeIsToldAtOnce()
    {
        var cli = new CliHarness();
        Assert.Equal(2, await cli.Run("quantize", TestData.Demo, "--recipe", Recipe("weights: {bits: x}\nseed: -1\nstages: [lrq: {rnak: 3}]\n"), "--out", "out"));
        Assert.Equal(3, cli.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
    }

    public void Dispose() => _folder.Dispose();

    private string Recipe(string text)
    {
        string file = _folder.File("asked.yaml");
        File.WriteAllText(file, text);
        return file;
    }

    private static async Task<QuantizeJob> Job(string[] options)
    {
        var cli = new CliHarness();
        Assert.Equal((0, ""), (await cli.Run(["quantize", TestData.Demo, "--out", "out", .. options]), cli.Error));
        return cli.Quantized!;
    }
}
