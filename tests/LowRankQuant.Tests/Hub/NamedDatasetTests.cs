using System.Text;
using System.Text.Json.Nodes;
using LowRankQuant.Quantization.Texts;
using LowRankQuant.Runs;
using LowRankQuant.Tests.Cli;
using LowRankQuant.Tests.Quantization.Texts;

namespace LowRankQuant.Tests.Hub;

/// <summary>Data sets by name, fetched from a hub: for calibration, for measuring, and as <c>lrq data</c> shows them.</summary>
public class NamedDatasetTests
{
    private static Task<HubServer> Start()
    {
        HubRepository wiki = new(), c4 = new(), chat = new(), pile = new();
        foreach (string part in new[] { "train", "test" })
        {
            string[] rows = ["", $" = {part} = \n", "", .. Enumerable.Range(0, 20).Select(i => $" once upon a time {part} {i} \n")];
            wiki.Files[$"wikitext-2-raw-v1/{part}-00000-of-00001.parquet"] = TableFiles.Parquet(rows.Select(text => new TableFiles.TextRow { Text = text }).ToList());
        }
        byte[] lines = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, 40).Select(i => $"{{\"text\": \"page {i}\", \"url\": \"u\"}}\n")));
        c4.Files["en/c4-train.00000-of-01024.json.gz"] = TableFiles.Gzip(lines);
        c4.Files["en/c4-validation.00000-of-00008.json.gz"] = TableFiles.Gzip(lines);
        chat.Files["data/train_sft-00000-of-00003-a1b2.parquet"] = TableFiles.Parquet(
            Enumerable.Range(0, 20).Select(i => new TableFiles.ChatRow { Prompt = "p", Messages = [new() { Role = "user", Content = $"Hi {i}" }, new() { Role = "assistant", Content = "Hello" }] }).ToList());
        pile.Files["val.jsonl.zst"] = TableFiles.Zstd(lines);
        return HubServer.StartAsync(
            ("datasets/Salesforce/wikitext", wiki), ("datasets/allenai/c4", c4), ("datasets/HuggingFaceH4/ultrachat_200k", chat), ("datasets/mit-han-lab/pile-val-backup", pile));
    }

    [Fact]
    public async Task ARunIsCalibratedAndMeasuredByName()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await Start();
        var cli = new CliHarness { Hub = () => server.Options(folder) };
        string[] fixedWindows = ["--samples", "2", "--held-out", "0", "--sequence-length", "16"];
        Assert.True(await cli.Run(["quantize", "demo", "--method", "gptq", "--calibration", "wikitext2=0.5,pile=0.5", "--eval-text", "c4", .. fixedWindows, "--out", folder.File("o")]) == 0, cli.Error);
        QuantizeJob job = cli.Quantized!;
        Assert.Equal([("wikitext2", TextJoin.BlankLines, 0.5), ("pile", TextJoin.None, 0.5)], job.Calibration!.Sources.Select(text => (text.Name, text.Join, text.Weight!.Value)));
        Assert.EndsWith("wikitext-2-raw-v1/train-00000-of-00001.parquet", job.Calibration.Sources[0].Path.Replace('\\', '/'), StringComparison.Ordinal);
        Assert.Equal(("c4", TextJoin.Spaces, 1100), (job.EvaluationTextOptions.Name, job.EvaluationTextOptions.Join, job.EvaluationTextOptions.MostRows));
        Assert.False(job.JoinRows);
        // The recipe keeps names, and reads them.
        Assert.Equal(["wikitext2=0.5", "pile=0.5"], job.Texts.Calibration);
        Assert.Equal("c4", job.Texts.Values["eval_text"]);
        string recipe = folder.File("recipe.yaml");
        File.WriteAllText(recipe, "data: {calibration: [\"wikitext2=0.5\", \"pile=0.5\"], samples: 2, held_out: 0, sequence_length: 16}\nevaluation: {eval_text: wikitext2}\nstages: [gptq: {}]\n");
        Assert.True(await cli.Run("quantize", "demo", "--recipe", recipe, "--out", folder.File("o2")) == 0, cli.Error);
        Assert.Equal(job.Calibration.Sources, cli.Quantized!.Calibration!.Sources);
        Assert.True(cli.Quantized.JoinRows);
        Assert.True(await cli.Run("eval", "demo", "--text", "wikitext2") == 0, cli.Error);
        Assert.True(cli.Evaluated!.JoinRows);
        Assert.Equal("wikitext2", cli.Evaluated.TextOptions.Name);
    }

    [Fact]
    public async Task ErrorsOfBlocksAreMeasuredOnFoldersAndSetsByName()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await Start();
        Directory.CreateDirectory(folder.File("texts"));
        File.WriteAllText(folder.File("texts/a.txt"), string.Concat(Enumerable.Repeat("Once there was a fox. ", 10)));
        File.WriteAllText(folder.File("texts/b.txt"), string.Concat(Enumerable.Repeat("Then it slept well. ", 10)));
        string[] command = ["compare-methods", "demo", "--methods", "rtn", "--schemes", "w3a16", "--eval-windows", "1", "--eval-context", "32", "--rmse-windows", "2", "--threads", "1", "--out", folder.File("out")];
        string first = await Run("--rmse-text", folder.File("texts/"), "--rmse-text", "wikitext2");
        JsonArray errors = Errors();
        Assert.Equal([("texts", 2, 64L), ("wikitext2", 2, 64L)], errors.Select(text => ((string)text!["text"]!, (int)text["windows"]!, (long)text["tokens"]!)));
        Assert.NotEqual((double)errors[0]!["rmse"]![0]!, (double)errors[1]!["rmse"]![0]!);
        Assert.DoesNotContain("there already", first, StringComparison.Ordinal);
        // The same texts are the same cell; another file in the folder makes another.
        Assert.Contains("there already", await Run("--rmse-text", folder.File("texts"), "--rmse-text", "wikitext2"), StringComparison.Ordinal);
        File.AppendAllText(folder.File("texts/b.txt"), "More.");
        Assert.DoesNotContain("there already", await Run("--rmse-text", folder.File("texts/*.txt"), "--rmse-text", "wikitext2"), StringComparison.Ordinal);
        var cli = new CliHarness();
        Assert.Equal(2, await cli.Run([.. command, "--rmse-text", "pile"]));
        Assert.Contains("--rmse-text pile: nobody measures on this data set", cli.Error, StringComparison.Ordinal);

        JsonArray Errors() => JsonNode.Parse(File.ReadAllText(Directory.EnumerateFiles(folder.File("out/cells"), "*.json").Single()))!["outputErrors"]!.AsArray();

        async Task<string> Run(params string[] more)
        {
            using var output = new StringWriter();
            using var error = new StringWriter();
            var app = new LowRankQuant.Cli.Commands.App(new LowRankQuant.Cli.Terminal(output, error, false, false), LowRankQuant.Cli.Engine.Default with { Hub = () => server.Options(folder) });
            Assert.True(await app.RunAsync([.. command, .. more], TestContext.Current.CancellationToken) == 0, error.ToString());
            return output.ToString() + error;
        }
    }

    [Fact]
    public async Task AFileOfTheSameNameComesFirst()
    {
        using var folder = new TemporaryFolder();
        string here = Path.Combine(Directory.GetCurrentDirectory(), "pile");
        File.WriteAllText(here, "of our own");
        try
        {
            Assert.Null(TextArgumentsOf("pile"));
            var cli = new CliHarness();
            Assert.True(await cli.Run("data", "pile") == 0, cli.Error);
            Assert.Contains("of our own", cli.Out, StringComparison.Ordinal);
            Assert.Contains("'pile' is here as a file or folder, which is read; the data set pile is at hf://datasets/mit-han-lab", cli.Error, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(here);
        }

        static NamedDataset? TextArgumentsOf(string name) => LowRankQuant.Cli.Options.TextArguments.Dataset(name);
    }

    [Fact]
    public async Task WhatIsWrongIsSaidBeforeAnythingIsFetched()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await Start();
        var cli = new CliHarness { Hub = () => server.Options(folder) };
        Assert.Equal(2, await cli.Run("quantize", "demo", "--method", "gptq", "--calibration", "c4=0.5", "--calibration", "pile", "--eval-text", "ultrachat", "--out", folder.File("o")));
        Assert.Contains("pile has no weight and c4=0.5 has", cli.Error, StringComparison.Ordinal);
        Assert.Contains("--eval-text ultrachat: nobody measures on this data set", cli.Error, StringComparison.Ordinal);
        Assert.Equal(2, await cli.Run("eval", "demo", "--text", "wikitext2", "--join-rows"));
        Assert.Contains("--join-rows does not apply to the data set wikitext2", cli.Error, StringComparison.Ordinal);
        Assert.Equal(2, await cli.Run("eval", "demo", "--text", "wikitext2", "--perplexity", "rolling"));
        Assert.Equal(2, await cli.Run("quantize", "demo", "--method", "gptq", "--calibration", "c4=-1", "--out", folder.File("o")));
        Assert.Contains("a weight is a number above 0", cli.Error, StringComparison.Ordinal);
        Assert.Empty(server.Requests);
    }

    [Fact]
    public async Task DataIsShownAsItIsRead()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await Start();
        var cli = new CliHarness { Hub = () => server.Options(folder) };
        Assert.Equal(0, await cli.Run("data"));
        foreach (NamedDataset set in DatasetCatalog.All) Assert.Contains($"--calibration {set.Name}: hf://datasets/{set.Repository}/", cli.Out, StringComparison.Ordinal);
        JsonObject chat = await Json("data", "ultrachat", "--rows", "3", "--json");
        Assert.Equal((3, true, "user: Hi 0\nassistant: Hello\n"), ((int)chat["documents"]!, (bool)chat["isPart"]!, (string)chat["first"]!));
        Assert.Equal(["prompt: text", "messages: list of struct (role, content)"], chat["fields"]!.AsArray().Select(field => (string)field!));
        JsonObject wiki = await Json("data", "wikitext2", "--measured", "--model", "demo", "--json");
        Assert.Equal(1, (int)wiki["documents"]!);
        Assert.StartsWith("\n\n = test = \n\n\n\n\n once", (string)wiki["first"]!, StringComparison.Ordinal);
        Assert.True((long)wiki["tokens"]! > 50, wiki.ToJsonString());
        JsonObject pattern = await Json("data", "hf://datasets/allenai/c4/en/c4-*.gz", "--json");
        Assert.Equal((2, 80), (pattern["files"]!.AsArray().Count, (int)pattern["documents"]!));
        Assert.Equal(2, await new CliHarness().Run("data", "--rows", "3"));
        Assert.Equal(2, await new CliHarness().Run("data", "pile", "--measured"));

        async Task<JsonObject> Json(params string[] args)
        {
            var one = new CliHarness { Hub = () => server.Options(folder) };
            Assert.True(await one.Run(args) == 0, one.Error);
            return JsonNode.Parse(one.Out)!.AsObject();
        }
    }
}
