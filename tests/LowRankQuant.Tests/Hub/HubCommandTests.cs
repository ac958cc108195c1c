using System.Text.Json.Nodes;
using LowRankQuant.Cli;
using LowRankQuant.Cli.Commands;
using LowRankQuant.Hub;
using LowRankQuant.Tests.Cli;
using LowRankQuant.Tests.EndToEnd;

namespace LowRankQuant.Tests.Hub;

/// <summary>Names of the hub on the command line.</summary>
public class HubCommandTests
{
    private static async Task<CliResult> Run(HubOptions options, CancellationToken? cancellation, params string[] args)
    {
        using var output = new StringWriter { NewLine = "\n" };
        using var error = new StringWriter { NewLine = "\n" };
        var app = new App(new Terminal(output, error, false, false), Engine.Default with { Hub = () => options });
        int code = await app.RunAsync(args, cancellation ?? TestContext.Current.CancellationToken);
        return new CliResult(code, output.ToString(), error.ToString());
    }

    private static Task<CliResult> Run(HubOptions options, params string[] args) => Run(options, null, args);

    private static Task<HubServer> StartDemo()
    {
        var data = new HubRepository();
        foreach (string name in new[] { "calibration.txt", "evaluation.txt" }) data.Files[name] = File.ReadAllBytes(Path.Combine(TestData.Demo, name));
        return HubServer.StartAsync(("acme/demo", HubRepository.OfFolder(TestData.Demo)), ("datasets/acme/text", data));
    }

    [Fact]
    public async Task AModelByNameIsTheModelOfTheFolder()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await StartDemo();
        CliResult named = await Run(server.Options(folder), "inspect", "acme/demo", "--json", "--tensors");
        Assert.True(named.Code == 0, named.Error);
        Assert.Contains("fetching", named.Error, StringComparison.Ordinal);
        JsonObject byName = JsonNode.Parse(named.Out)!.AsObject(), byPath = JsonNode.Parse((await Run(server.Options(folder), "inspect", TestData.Demo, "--json", "--tensors")).Out)!.AsObject();
        Assert.EndsWith(HubRepository.Commit, (string)byName["location"]!, StringComparison.Ordinal);
        byName.Remove("location");
        byPath.Remove("location");
        Assert.Equal(byPath.ToJsonString(), byName.ToJsonString());
    }

    [Fact]
    public async Task APathIsAskedOfNobody()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await StartDemo();
        HubOptions options = server.Options(folder);
        Assert.Equal(0, (await Run(options, "inspect", TestData.Demo)).Code);
        Assert.Equal(0, (await Run(options, "inspect", "demo")).Code);
        Assert.Equal(1, (await Run(options, "inspect", folder.File("none"))).Code);
        Assert.Equal(1, (await Run(options, "inspect", "./acme/demo")).Code);
        // The tests' own folder of models holds no such one.
        CliResult mistyped = await Run(options, "inspect", "models/dmo");
        if (Directory.Exists("models")) Assert.Contains("hf://models/dmo", mistyped.Error, StringComparison.Ordinal);
        Assert.Equal(1, (await Run(options, "inspect", "acme/model.gguf")).Code);
        Assert.DoesNotContain(server.Requests, request => !request.Address.Contains("dmo", StringComparison.Ordinal));
        Assert.False(Directory.Exists(options.Cache));
    }

    [Fact]
    public async Task ModelsAndTextsOfARunComeByName()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await StartDemo();
        var cli = new CliHarness { Hub = () => server.Options(folder) };
        string snapshot = folder.File($"hub/models--acme--demo/snapshots/{HubRepository.Commit}"), texts = folder.File($"hub/datasets--acme--text/snapshots/{HubRepository.Commit}");
        Assert.True(await cli.Run(
            "quantize", "acme/demo@main", "--calibration", "hf://datasets/acme/text/calibration.txt", "--eval-text", "hf://datasets/acme/text/evaluation.txt", "--out", folder.File("out")) == 0, cli.Error);
        Assert.Equal(snapshot, cli.Quantized!.Model.Checkpoint.Location);
        Assert.Equal([Path.Combine(texts, "calibration.txt")], cli.Quantized.Calibration!.Sources.Select(source => source.Path));
        Assert.Equal(Path.Combine(texts, "evaluation.txt"), cli.Quantized.EvaluationText);
        Assert.Contains("acme/demo: Hugging Face folder", cli.Out, StringComparison.Ordinal);
        Assert.True(await cli.Run("eval", "acme/demo", "--text", "hf://datasets/acme/text/evaluation.txt", "--reference", TestData.Demo) == 0, cli.Error);
        Assert.Equal(Path.Combine(texts, "evaluation.txt"), cli.Evaluated!.Text);
        // A recipe may name them too.
        string recipe = folder.File("recipe.yaml");
        File.WriteAllText(recipe, "data: {calibration: [\"hf://datasets/acme/text/calibration.txt\"]}\nevaluation: {eval_text: \"hf://datasets/acme/text/evaluation.txt\"}\n");
        Assert.True(await cli.Run("quantize", "acme/demo", "--recipe", recipe, "--out", folder.File("out2")) == 0, cli.Error);
        Assert.Equal([Path.Combine(texts, "calibration.txt")], cli.Quantized!.Calibration!.Sources.Select(source => source.Path));
        Assert.Equal(Path.Combine(texts, "evaluation.txt"), cli.Quantized.EvaluationText);
    }

    [Fact]
    public async Task AnAdapterComesByName()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await StartDemo();
        var adapter = new HubRepository();
        adapter.Files["adapter_config.json"] = "{}"u8.ToArray();
        adapter.Files["adapter_model.safetensors"] = HubRepository.Bytes(100, 1);
        server.Repositories.Add("acme/lora", adapter);
        CliResult result = await Run(server.Options(folder), "eval", TestData.Demo, "--adapter", "hf://acme/lora", "--text", Path.Combine(TestData.Demo, "evaluation.txt"));
        // It was fetched and then looked into, and is no adapter.
        Assert.Equal(1, result.Code);
        Assert.Contains(folder.File($"hub/models--acme--lora/snapshots/{HubRepository.Commit}"), result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task NothingIsFetchedForAWrongRequest()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await StartDemo();
        HubOptions options = server.Options(folder);
        Assert.Equal(2, (await Run(options, "quantize", "acme/demo", "--memory", "lots", "--out", folder.File("o"))).Code);
        Assert.Equal(2, (await Run(options, "eval", "acme/demo")).Code);
        Assert.Equal(2, (await Run(options, "convert", "acme/demo", "--dtype", "int3")).Code);
        Assert.Equal(2, (await Run(options, "correct", "acme/demo", "--reference", "acme/demo")).Code);
        Assert.Equal(2, (await Run(options, "inspect", "hf://acme")).Code);
        Assert.Equal(2, (await Run(options, "inspect", "hf://datasets/acme/text")).Code);
        Assert.Equal(2, (await Run(options, "eval", TestData.Demo, "--text", "hf://datasets/acme/text")).Code);
        Assert.Equal(2, (await Run(options, "pull", "acme")).Code);
        Assert.Equal(2, (await Run(options, "pull", "acme/demo@v1", "--revision", "main")).Code);
        Assert.Equal(2, (await Run(options, "pull", "acme/demo/config.json", "--include", "*")).Code);
        Assert.Empty(server.Requests);
    }

    [Fact]
    public async Task PullPrintsWhereItLies()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await StartDemo();
        HubOptions options = server.Options(folder);
        CliResult result = await Run(options, "pull", "acme/demo", "--revision", "v1");
        Assert.Equal((0, folder.File($"hub/models--acme--demo/snapshots/{HubRepository.Earlier}\n")), (result.Code, result.Out));
        Assert.Contains("fetching", result.Error, StringComparison.Ordinal);
        server.Forget();
        result = await Run(options, "pull", "acme/demo@v1", "--offline", "--json");
        JsonObject json = JsonNode.Parse(result.Out)!.AsObject();
        Assert.Equal((HubRepository.Earlier, "acme/demo@v1", 0L), ((string)json["commit"]!, (string)json["name"]!, (long)json["fetchedBytes"]!));
        Assert.Empty(server.Requests);
        Assert.Equal(1, (await Run(options, "pull", "acme/demo", "--offline", "--cache-dir", folder.File("other"))).Code);
        result = await Run(options, "pull", "datasets/acme/text", "--include", "*.txt", "--cache-dir", folder.File("other"));
        Assert.Equal(folder.File($"other/datasets--acme--text/snapshots/{HubRepository.Commit}\n"), result.Out);
        Assert.Equal(2, Directory.GetFiles(result.Out.TrimEnd()).Length);
        result = await Run(options, "pull", "hf://acme/demo/config.json");
        Assert.Equal("config.json", Path.GetFileName(result.Out.TrimEnd()));
    }

    [Fact]
    public async Task WhatTheHubRefusesIsOneLineAndACode()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await StartDemo();
        CliResult result = await Run(server.Options(folder), "inspect", "acme/nothing");
        Assert.Equal(1, result.Code);
        Assert.StartsWith("error: acme/nothing: there is no such model", result.Error, StringComparison.Ordinal);
        Assert.EndsWith("No file or folder here is called acme/nothing.\n", result.Error, StringComparison.Ordinal);
        Assert.Single(result.Error.TrimEnd().Split('\n'));
    }

    [Fact]
    public async Task AStoppedFetchSaysThatItGoesOn()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await StartDemo();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        server.Faults = new HubFaults { Stalls = true };
        server.WhileServing = stop.Cancel;
        CliResult result = await Run(server.Options(folder), stop.Token, "inspect", "acme/demo");
        Assert.Equal(130, result.Code);
        Assert.Contains("What was fetched is kept", result.Error, StringComparison.Ordinal);
    }
}
