using System.Text;
using LowRankQuant.Quantization;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Files;
using LowRankQuant.Tests.Cli;
using LowRankQuant.Tests.Quantization.Texts;

namespace LowRankQuant.Tests.Hub;

/// <summary>The commands of docs/guide/reproduce.md, as typed, against a hub that has small stand-ins for its models and data sets.</summary>
public class ReproduceTests
{
    private static IReadOnlyList<string[]> Commands { get; } =
    [
        .. File.ReadLines(Path.Combine(TestData.RepositoryRoot, "docs", "guide", "reproduce.md")).Where(line => line.StartsWith("    lrq ", StringComparison.Ordinal))
            .Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1..]),
    ];

    [Fact]
    public async Task EveryCommandOfThePageIsAcceptedAndFetchesItsModelAndTexts()
    {
        Assert.True(Commands.Count >= 10, $"{Commands.Count} commands");
        using var folder = new TemporaryFolder();
        await using HubServer server = await Start(Commands.Select(command => command[1]).Append("meta-llama/Llama-2-7b-hf"));
        // The stand-ins are short.
        string[] few = ["--samples", "2", "--held-out", "1", "--sequence-length", "16"];
        foreach (string[] command in Commands)
        {
            string[] args = [.. command.Select(word => word.StartsWith("out/", StringComparison.Ordinal) ? folder.File(word.Replace('/', '-')) : word), .. command[0] == "quantize" ? few : []];
            var cli = new CliHarness { Hub = () => server.Options(folder) };
            int code = await cli.Run(args);
            Assert.True(code == 0, $"lrq {string.Join(' ', command)}\n{cli.Error}");
            string asked = (command[0] == "quantize" ? cli.Quantized!.Model : cli.Evaluated!.Model).Checkpoint.Location;
            Assert.Contains($"models--{command[1].Replace("/", "--", StringComparison.Ordinal)}", asked, StringComparison.Ordinal);
            if (cli.Quantized is not { } job) continue;
            Assert.True(job.JoinRows, string.Join(' ', command));
            Assert.Equal("wikitext2", job.EvaluationTextOptions.Name);
        }
        Assert.All(server.Repositories.Keys, name => Assert.Contains(server.Downloads, request => request.Address.Contains(name, StringComparison.Ordinal)));
    }

    [Fact]
    public void TheRecipesHaveThePapersNumbers()
    {
        string[] names = [.. ReadyRecipes.Names.Where(name => name.StartsWith("paper-", StringComparison.Ordinal))];
        Assert.Equal(9, names.Length);
        foreach (string name in names)
        {
            RecipeDocument document = RecipeReader.Read(ReadyRecipes.Find(name)!, name, BuiltInMethods.Catalog);
            string[] parts = name.Split('-');
            RecipeRequest request = document.Request;
            // 512 windows of 1,024 tokens and 5,000 steps are those of the preset.
            Assert.Equal(("paper", parts[1]), (request.Preset, request.Method));
            Assert.Equal(parts[1] == "flrq" ? (128, 2048) : ((int?)null, (int?)null), (request.Samples, request.SequenceLength));
            Assert.Equal(parts[1] == "flrq" ? "wikitext2" : "c4", document.Texts.Calibration.Single());
            Assert.Equal(("wikitext2", "2048"), (document.Texts.Values["eval_text"], document.Texts.Values["eval_context"]));
            if (request.Bits is { } bits) Assert.StartsWith($"w{bits}", parts[2], StringComparison.Ordinal);
            else Assert.Equal(parts[2], request.Scheme);
        }
    }

    private static Task<HubServer> Start(IEnumerable<string> models)
    {
        // The demo, with as many positions as the papers' windows have.
        HubRepository demo = HubRepository.OfFolder(TestData.Demo), wiki = new(), c4 = new();
        demo.Files["config.json"] = Encoding.UTF8.GetBytes(File.ReadAllText(Path.Combine(TestData.Demo, "config.json")).Replace("\"max_position_embeddings\": 512", "\"max_position_embeddings\": 4096", StringComparison.Ordinal));
        foreach (string part in new[] { "train", "test" })
            wiki.Files[$"wikitext-2-raw-v1/{part}-00000-of-00001.parquet"] = TableFiles.Parquet(Enumerable.Range(0, 20).Select(i => new TableFiles.TextRow { Text = $" once upon a time {part} {i} \n" }).ToList());
        byte[] lines = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, 40).Select(i => $"{{\"text\": \"page {i}\"}}\n")));
        c4.Files["en/c4-train.00000-of-01024.json.gz"] = TableFiles.Gzip(lines);
        // LRQ's seven tasks are in six sets.
        (string, HubRepository)[] tasks = [.. HubTaskSets.All.Where(set => !set.Name.Contains("lambada", StringComparison.Ordinal) && !set.Name.Contains("wsc", StringComparison.Ordinal) && !set.Name.Contains("mmlu", StringComparison.Ordinal))];
        return HubServer.StartAsync([.. models.Distinct().Select(name => (name, demo)), ("datasets/Salesforce/wikitext", wiki), ("datasets/allenai/c4", c4), .. tasks]);
    }
}
