using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Tests.Families;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>Runs of which some linears stay in their own type, and some are quantized that usually stay: by every method, in every container, and again from the recipe.</summary>
public sealed class KeptLinearRunTests : IDisposable
{
    private const string Fused = "models/phi3", FusedRules = "v_proj=keep,layers.1.*=keep";
    private const string Delta = "hybrids/qwen3_next", DeltaRules = "in_proj_ba=8:64,mlp.gate=8:32,linear_attn.out_proj=keep";
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>A matrix that is stored fused with others, and all of a block; gates that are quantized, and the projection behind them that is not.</summary>
    [Theory]
    [InlineData(Fused, FusedRules, "rtn --bits 4 --group-size 32")]
    [InlineData(Fused, FusedRules, "lrq --bits 3 --iterations 2 --rank 8 --tune-steps 1 --tune-batch 1")]
    [InlineData(Fused, FusedRules, "flexround --bits 4 --group-size 32 --iterations 2")]
    [InlineData(Fused, FusedRules, "flrq --bits 3 --group-size 64")]
    [InlineData(Fused, FusedRules, "flrq+ --bits 3 --group-size 64 --rank 8 --tune-steps 1 --tune-batch 1")]
    [InlineData(Fused, FusedRules, "flrq+ --target-bits 4 --group-size 64")]
    [InlineData(Fused, FusedRules, "qera-exact --bits 3 --group-size 64 --rank 4")]
    [InlineData(Fused, FusedRules, "flrq --bits 3 --group-size 64 --residual lrq --iterations 2")]
    [InlineData(Delta, DeltaRules, "rtn --bits 4 --group-size 32")]
    [InlineData(Delta, DeltaRules, "lrq --bits 3 --iterations 2 --rank 8")]
    [InlineData(Delta, DeltaRules, "flrq+ --bits 3 --group-size 64 --rank 4 --tune-steps 1 --tune-batch 1")]
    [InlineData("hybrids/jamba", "x_proj=8:64,dt_proj=8:channel,in_proj=keep", "flrq --bits 3 --group-size 64")]
    [InlineData("hybrids/kimi_linear", "f_b_proj=8:channel,b_proj=4:64,g_a_proj=8:64,q_proj=keep", "flexround --bits 4 --group-size 32 --iterations 2")]
    [InlineData("hybrids/deepseek_v3", "kv_b_proj=keep,experts.*.up_proj=keep", "flrq --bits 3 --group-size 64")]
    [InlineData(Delta, "experts.*.down_proj=keep,experts.1.up_proj=keep", "rtn --bits 4 --group-size 32")]
    [InlineData("models2/gpt_oss", "experts.*.down_proj=keep,layers.1.mlp.experts.0.*=keep", "rtn --bits 4 --group-size 32")]
    public async Task EveryMethodQuantizesTheRest(string name, string rules, string options)
    {
        string source = Source(name), output = _folder.File("out");
        JsonNode report = await Quantize(source, output, ["--layers", rules, "--method", .. options.Split(' ')]);
        LinearSelection selection = Check(source, output);
        Assert.Equal(
            selection.Kept.Count > 0, report["keptLinears"]!.AsArray().Any(linear => !(bool)linear!["byDefault"]!));
        Assert.Contains("In their own type: ", File.ReadAllText(Path.Combine(output, "report.md")), StringComparison.Ordinal);
        if (!options.StartsWith("rtn", StringComparison.Ordinal) && !options.StartsWith("flrq+ --bits", StringComparison.Ordinal)) return;
        string again = _folder.File("again");
        await Quantize(source, again, ["--recipe", Path.Combine(output, "recipe.json")]);
        Assert.Equal(Lrq.Bytes(output), Lrq.Bytes(again));
    }

    [Theory]
    [InlineData(Fused, FusedRules, "w8a8 --method rtn")]
    [InlineData(Fused, FusedRules, "w8a8 --method lrq --iterations 2 --rank 8 --inside true")]
    [InlineData(Fused, "gate_proj=keep,o_proj=keep,layers.0.*=keep", "w8a8-dynamic --method rtn --transform smoothquant")]
    [InlineData(Delta, DeltaRules, "w8a8 --method flexround --iterations 2")]
    [InlineData("models/llama_bias", "q_proj=keep,down_proj=keep", "w4a4 --method rtn")]
    public async Task InputsOfTheRestAreQuantized(string name, string rules, string options)
    {
        string source = Source(name), output = _folder.File("out");
        JsonNode report = await Quantize(source, output, ["--layers", rules, "--scheme", .. options.Split(' ')]), stored = (report["asStored"] ?? report["result"])!;
        bool changes = options.Contains("smooth", StringComparison.Ordinal) || options.StartsWith("w4a4", StringComparison.Ordinal) || options.StartsWith("w8a8 ", StringComparison.Ordinal);
        Check(source, output, sameValues: !changes);
        CliResult eval = await Lrq.Run("eval", output, "--reference", source, "--ids", Path.Combine(output, "heldout.ids.jsonl"), "--products", "float", "--threads", "1", "--json");
        Assert.True(eval.Code == 0, eval.Error);
        JsonNode measured = JsonNode.Parse(eval.Out.Split('\n', StringSplitOptions.RemoveEmptyEntries)[^1])!;
        foreach (string figure in new[] { "negativeLogLikelihood", "klDivergence" })
        {
            double expected = (double)stored[figure]!, actual = (double)measured[figure]!;
            Assert.True(Math.Abs(expected - actual) <= (1e-6 * Math.Abs(expected)) + 1e-12, $"{figure} {actual} of the folder, {expected} in the report");
        }
    }

    [Theory]
    [InlineData(Fused, FusedRules)]
    [InlineData(Fused, "qkv_rules")]
    [InlineData("models/mistral", "v_proj=keep,layers.1.mlp.*=keep")]
    public async Task EveryContainerSaysWhatStays(string name, string rules)
    {
        // All that is stored together stays.
        if (rules == "qkv_rules") rules = "q_proj=keep,k_proj=keep,v_proj=keep";
        string source = Source(name), output = _folder.File("out");
        await Quantize(source, output, ["--layers", rules, "--method", "rtn", "--bits", "4", "--group-size", "32", "--symmetric", "true", "--scale-dtype", "fp16"]);
        LinearSelection selection = Check(source, output, sameValues: false);
        foreach (string container in new[] { "compressed-tensors", "gptq", "awq", "mlx", "dense" })
        {
            string written = _folder.File($"to-{container}");
            CliResult run = await Lrq.Run("export", output, "--to", container, "--out", written);
            Assert.True(run.Code == 0, $"{container}: {run.Error}");
            CliResult verified = await Lrq.Run("verify", written, "--against", output);
            Assert.True(verified.Code == 0, $"{container}: {verified.Out}{verified.Error}");
            using ICheckpoint result = CheckpointOpener.Open(written);
            foreach (string module in Kept(result, selection)) Assert.Null(result.ReadQuantized($"{module}.weight"));
            if (container == "dense") continue;
            JsonObject config = JsonFile.ReadObject(Path.Combine(written, "config.json"));
            string[] named = Named(container, config);
            foreach (string module in StoredKept(result, selection)) Assert.Contains(module, named);
            Assert.DoesNotContain("model.layers.0.mlp.down_proj", named);
        }
        // One tensor of a GGUF file has one type.
        if (rules == FusedRules) Assert.Contains("its 3 parts come as", (await Lrq.Run("export", output, "--to", "gguf", "--out", _folder.File("to.gguf"))).Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AGgufFileHasItAsFloats()
    {
        string output = _folder.File("out"), written = _folder.File("to.gguf");
        CliResult run = await Lrq.Run(Lrq.Rounding(
            output, "--bits", "4", "--group-size", "32", "--symmetric", "true", "--scale-dtype", "fp16", "--target", "llama.cpp", "--layers", "v_proj=keep,layers.1.mlp.*=keep"));
        Assert.True(run.Code == 0, run.Error);
        CliResult export = await Lrq.Run("export", output, "--to", "gguf", "--out", written);
        Assert.True(export.Code == 0, export.Error);
        CliResult verified = await Lrq.Run("verify", written, "--against", output);
        Assert.True(verified.Code == 0, verified.Out + verified.Error);
        using ICheckpoint file = CheckpointOpener.Open(written);
        Assert.Equal(
            ("F16", "F16", "Q4_0", "Q4_0"),
            (Type("0.self_attn.v_proj"), Type("1.mlp.down_proj"), Type("0.self_attn.q_proj"), Type("2.mlp.down_proj")));

        string? Type(string linear) => file.BlockTypeOf($"model.layers.{linear}.weight");
    }

    [Fact]
    public async Task APlanListsThem()
    {
        string source = Source(Delta);
        CliResult plain = await Lrq.Run("plan", source, "--method", "rtn", "--group-size", "32", "--layers", DeltaRules, "--untimed");
        Assert.True(plain.Code == 0, plain.Error);
        Assert.Contains("in its own type", plain.Out, StringComparison.Ordinal);
        Assert.Matches(@"linear_attn\.out_proj +256 x 256 +\d +as asked", plain.Out);
        Assert.Matches(@"mlp\.shared_expert_gate +1 x 256 +\d", plain.Out);
        JsonNode plan = JsonNode.Parse((await Lrq.Run("plan", source, "--method", "rtn", "--group-size", "32", "--layers", DeltaRules, "--json")).Out)!;
        Assert.Equal(["linear_attn.out_proj", "mlp.shared_expert_gate"], plan["keptLinears"]!.AsArray().Select(linear => (string)linear!["name"]!).Order(StringComparer.Ordinal));
        Assert.Contains(plan["layers"]!.AsArray(), layer => (string)layer!["name"]! == "linear_attn.in_proj_ba" && (string)layer["grid"]! == "w8 asymmetric g64");
        // What stays counts as it is stored.
        JsonNode all = JsonNode.Parse((await Lrq.Run("plan", source, "--method", "rtn", "--group-size", "32", "--untimed", "--json")).Out)!;
        Assert.True((long)plan["resultBytes"]! > (long)all["resultBytes"]!);
    }

    /// <summary>A time is known of a block in which something is quantized.</summary>
    [Fact]
    public async Task APlanTimesABlockThatIsQuantized()
    {
        CliResult plan = await Lrq.Run("plan", Source(Fused), "--method", "rtn", "--group-size", "32", "--layers", "layers.0.*=keep", "--json");
        Assert.True(plan.Code == 0, plan.Error);
        Assert.True((double)JsonNode.Parse(plan.Out)!["blockSeconds"]! > 0);
    }

    private string Source(string name)
    {
        string source = _folder.File("source");
        FamilyModels.Write(name, source);
        return source;
    }

    private async Task<JsonNode> Quantize(string source, string output, string[] options)
    {
        string ids = _folder.File("ids.jsonl");
        File.WriteAllLines(ids, Enumerable.Range(0, 8).Select(row => $"[{string.Join(", ", Enumerable.Range(0, 24).Select(i => ((row * 131) + (i * i * 7)) % FamilyModels.Vocabulary))}]"));
        CliResult run = await Lrq.Run(
            ["quantize", source, .. options, "--calibration", ids, "--calibration-format", "ids", "--samples", "4", "--held-out", "2", "--sequence-length", "24", "--threads", "1", "--out", output]);
        Assert.True(run.Code == 0, run.Error);
        JsonNode report = JsonNode.Parse(File.ReadAllText(Path.Combine(output, "report.json")))!;
        Assert.True(double.IsFinite((double)report["result"]!["perplexity"]!));
        CliResult verified = await Lrq.Run("verify", output);
        Assert.True(verified.Code == 0, verified.Out + verified.Error);
        return report;
    }

    // That codes stand where they were asked for and nowhere else, and that what stays has its values and is named for loaders.
    private static LinearSelection Check(string source, string output, bool sameValues = true)
    {
        using ICheckpoint original = CheckpointOpener.Open(source), result = CheckpointOpener.Open(output);
        LinearSelection selection = Selection(original, output);
        ModelLayout layout = original.Layout.Select(selection);
        foreach (LinearShape linear in layout.Modules) Assert.True(result.ReadQuantized($"{linear.Name}.weight") is not null, $"{linear.Name} is floats");
        JsonObject config = JsonFile.ReadObject(Path.Combine(output, "config.json"));
        string[] ignored = [.. config["quantization_config"]!["ignore"]!.AsArray().Select(name => (string)name!)];
        foreach (LinearShape linear in layout.KeptModules)
        {
            Assert.True(result.ReadQuantized($"{linear.Name}.weight") is null, $"{linear.Name} is codes");
            float[] expected = new float[linear.Weights], actual = new float[expected.Length];
            original.Read($"{linear.Name}.weight", expected);
            result.Read($"{linear.Name}.weight", actual);
            if (sameValues) Assert.Equal(expected, actual);
        }
        foreach (string module in StoredKept(result, selection)) Assert.Contains(module, ignored);
        return selection;
    }

    // From the rules of the result's recipe.
    private static LinearSelection Selection(ICheckpoint model, string output)
    {
        JsonArray rules = JsonFile.ReadObject(Path.Combine(output, "recipe.json"))["layers"]!.AsArray();
        string[] kept = [.. rules.Where(rule => (string?)rule!["grid"] == "keep").Select(rule => (string)rule!["match"]!)];
        HashSet<string> usual = [.. model.Layout.Kept.SelectMany((block, i) => block.SelectMany(linear => new[] { linear.Name, $"{model.Layout.Blocks[i]}.{linear.Name}" }))];
        return new LinearSelection(kept, [.. rules.Select(rule => (string)rule!["match"]!).Where(usual.Contains).Except(kept)]);
    }

    private static IEnumerable<string> Kept(ICheckpoint model, LinearSelection selection) =>
        model.Layout.Select(selection).KeptModules.Where(linear => !linear.KeptByDefault).Select(linear => linear.Name);

    // Under the names that the folder has them by; experts of stacks by their own.
    private static IEnumerable<string> StoredKept(ICheckpoint model, LinearSelection selection) => Kept(model, selection).Select(module =>
        model.Layout.Find($"{module}.weight")!.View is { StoredShape.Count: 2 } view ? view.Stored[..^".weight".Length] : module).Distinct();

    private static string[] Named(string container, JsonObject config)
    {
        JsonNode quantization = config["quantization_config"]!;
        return container switch
        {
            "gptq" => [.. quantization["dynamic"]!.AsObject().Select(rule => System.Text.RegularExpressions.Regex.Unescape(rule.Key["-:^".Length..^1]))],
            "awq" => [.. quantization["modules_to_not_convert"]!.AsArray().Select(module => (string)module!)],
            "mlx" => [.. config["quantization"]!.AsObject().Where(module => module.Value!.GetValueKind() == System.Text.Json.JsonValueKind.False).Select(module => module.Key)],
            _ => [.. quantization["ignore"]!.AsArray().Select(module => (string)module!)],
        };
    }
}
