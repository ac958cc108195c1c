using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Tasks;
using LowRankQuant.Evaluation.Tasks.Data;
using LowRankQuant.Evaluation.Tasks.Definitions;
using LowRankQuant.Tests.Cli;
using LowRankQuant.Tests.Quantization.Texts;

namespace LowRankQuant.Tests.Hub;

/// <summary>Tasks by name, their items fetched from a hub that has small stand-ins where the hub has the data sets, in the hub's own conversion to Parquet.</summary>
public class HubTaskTests
{
    private static Task<HubServer> Start(params string[] without) => HubServer.StartAsync([.. HubTaskSets.All.Where(set => !without.Contains(set.Name))]);

    [Fact]
    public async Task EveryTaskIsReadFromTheHubAsFromFiles()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await Start();
        var cli = new CliHarness { Hub = () => server.Options(folder) };
        string names = string.Join(',', TaskCatalog.BuiltIn.Select(task => task.Name));
        Assert.True(await cli.Run("eval", "demo", "--tasks", names, "--data", "hub") == 0, cli.Error);
        TaskJob job = cli.Evaluated!.Tasks!;
        // Of each data set the files that are wanted, and nothing else.
        Assert.Equal(12, server.Requests.Where(request => request is { Method: "GET", IsFile: true, AtStore: false }).Select(request => request.Address).Distinct().Count());
        var data = new DataFolder(".", job.Fetched);
        foreach (EvaluationTask task in job.Tasks)
        {
            IReadOnlyList<TaskItem> items = task.Load(data, job.Selection);
            Assert.Equal(task.Name == "mmlu" ? 4 : 2, items.Count);
            Assert.All(task.Files(data), file => Assert.True(File.Exists(file)));
            Assert.All(items, item => Assert.NotEmpty(item.Question.Requests));
        }
        Assert.Equal(["Question: What is 1?\nAnswer: a", "Question: What is 1?\nAnswer: b", "Question: What is 1?\nAnswer: c", "Question: What is 1?\nAnswer: d"], Texts("arc_easy", 1));
        Assert.Equal(2, Item("arc_challenge", 0).Question.Gold);
        Assert.Equal(["It -- It is.\nQuestion: is it 0?\nAnswer: no", "It -- It is.\nQuestion: is it 0?\nAnswer: yes"], Texts("boolq", 0));
        Assert.Equal(["Question: Open it 0\nAnswer: Pull. ", "Question: Open it 0\nAnswer: Push."], Texts("piqa", 0));
        Assert.Equal("Running: A man. runs 1. He falls.", Texts("hellaswag", 1)[0]);
        Assert.Equal(["Ann fed Bob since Ann was hungry 0.", "Ann fed Bob since Bob was hungry 0."], Texts("winogrande", 0));
        Assert.Equal("The sun 0 a", Texts("openbookqa", 0)[0]);
        Assert.Equal(["once there was 0 fox"], Texts("lambada_openai", 0));
        Assert.StartsWith("The man fell 1 therefore", Texts("copa", 1)[0], StringComparison.Ordinal);
        Assert.StartsWith("The cup fell off the table 0 since the cup", Texts("wsc273", 0)[0], StringComparison.Ordinal);
        IReadOnlyList<TaskItem> mmlu = TaskCatalog.Find("mmlu")!.Load(data, job.Selection);
        Assert.Equal([("anatomy", 0, 0), ("anatomy", 1, 2), ("virology", 0, 3), ("virology", 1, 1)], mmlu.Select(item => (item.Subject!, item.Index, item.Question.Gold!.Value)));
        Assert.StartsWith("The following are multiple choice questions (with answers) about virology.\n\nSV0?\nA. w\nB. x\nC. y\nD. z\nAnswer: C\n\nSV1?", mmlu[2].Question.Requests[0].Context, StringComparison.Ordinal);
        Assert.EndsWith("SV4?\nA. w\nB. x\nC. y\nD. z\nAnswer: C\n\nV?\nA. w\nB. x\nC. y\nD. z\nAnswer:", mmlu[2].Question.Requests[0].Context, StringComparison.Ordinal);
        // The same rows as lines of JSON.
        File.WriteAllLines(folder.File("arc_easy.jsonl"), HubTaskSets.Twice(i => new HubTaskSets.Labelled { Question = $"What is {i}?", Choices = HubTaskSets.Four(), Key = "C" }).Select(row => JsonSerializer.Serialize(row)));
        Assert.Equal(
            TaskCatalog.Find("arc_easy")!.Load(new DataFolder(folder.Path), job.Selection).Select(item => item.Hash()),
            TaskCatalog.Find("arc_easy")!.Load(data, job.Selection).Select(item => item.Hash()));
        // A second time nothing comes again.
        int before = server.Downloads.Count;
        Assert.True(await cli.Run("eval", "demo", "--tasks", names, "--data", "hub") == 0, cli.Error);
        Assert.Equal(before, server.Downloads.Count);

        TaskItem Item(string task, int index) => TaskCatalog.Find(task)!.Load(data, job.Selection)[index];

        string[] Texts(string task, int index) => [.. Item(task, index).Question.Requests.Select(request => request.Context + request.Continuation)];
    }

    [Fact]
    public async Task FiguresComeFromThoseItems()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await Start();
        using var output = new StringWriter();
        using var error = new StringWriter();
        var app = new LowRankQuant.Cli.Commands.App(
            new LowRankQuant.Cli.Terminal(output, error, false, false), LowRankQuant.Cli.Engine.Default with { Hub = () => server.Options(folder) });
        string items = folder.File("items.jsonl");
        Assert.True(await app.RunAsync(["eval", "demo", "--tasks", "piqa,mmlu", "--data", "hub", "--items", items, "--threads", "1", "--json"], TestContext.Current.CancellationToken) == 0, error.ToString());
        JsonNode tasks = JsonNode.Parse(output.ToString())!["tasks"]!["tasks"]!;
        Assert.Equal((2, 4), ((int)tasks["piqa"]!["items"]!, (int)tasks["mmlu"]!["items"]!));
        Assert.Equal(6, File.ReadLines(items).Count(line => line.Contains("\"task\"", StringComparison.Ordinal) && line.Contains("logLikelihoods", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task WithoutTheNameNobodyIsAsked()
    {
        using var folder = new TemporaryFolder();
        var cli = new CliHarness();
        Assert.Equal(2, await cli.Run("eval", "demo", "--tasks", "boolq"));
        Assert.Contains("--data is missing: name the folder with the tasks' files, or hub to fetch them", cli.Error, StringComparison.Ordinal);
        Assert.Equal(2, await cli.Run("eval", "demo", "--tasks", "boolq,nosuch", "--data", "hub"));
        Assert.Equal(2, await cli.Run("eval", "demo", "--tasks", "boolq", "--data", folder.Path));
        // A folder of that name comes first.
        string here = Path.Combine(Directory.GetCurrentDirectory(), "hub");
        Directory.CreateDirectory(here);
        try
        {
            var local = new CliHarness();
            Assert.Equal(2, await local.Run("eval", "demo", "--tasks", "boolq", "--data", "hub"));
            Assert.Contains("'hub' holds none of boolq/val.jsonl", local.Error, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(here);
        }
        var list = new CliHarness();
        Assert.True(await list.Run("data") == 0, list.Error);
        Assert.Contains("mmlu: hf://datasets/cais/mmlu@refs/convert/parquet/all/test/0000.parquet, hf://datasets/cais/mmlu@refs/convert/parquet/all/dev/0000.parquet", list.Out, StringComparison.Ordinal);
        var json = new CliHarness();
        Assert.True(await json.Run("data", "--json") == 0, json.Error);
        Assert.Equal(TaskCatalog.BuiltIn.Select(task => task.Name), JsonNode.Parse(json.Out)!["tasks"]!.AsArray().Select(task => (string)task!["name"]!));
    }

    [Fact]
    public async Task ASetThatIsNotThereIsNamed()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await Start("datasets/ybisk/piqa");
        var cli = new CliHarness { Hub = () => server.Options(folder) };
        Assert.Equal(1, await cli.Run("eval", "demo", "--tasks", "boolq,piqa", "--data", "hub"));
        Assert.Contains("ybisk/piqa", cli.Error, StringComparison.Ordinal);
        Assert.Null(cli.Evaluated);
    }

    [Fact]
    public void RowsOfAnotherFormAreNamed()
    {
        using var folder = new TemporaryFolder();
        string three = folder.File("three.parquet"), none = folder.File("none.parquet"), damaged = folder.File("damaged.parquet");
        File.WriteAllBytes(three, TableFiles.Parquet<HubTaskSets.Subject>([HubTaskSets.Asked("anatomy", "A?", 4)]));
        File.WriteAllBytes(none, TableFiles.Parquet<TableFiles.TextRow>([new() { Text = "x" }]));
        File.WriteAllText(damaged, "PAR1 and nothing else");
        foreach ((string file, string rule) in new[] { (three, "row 1: the answer is 4; 0 to 3 are expected"), (none, "row 1: there is no column 'subject'; the row has text, n"), (damaged, "is a Parquet file that cannot be read") })
        {
            var data = new DataFolder(".", new Dictionary<string, IReadOnlyList<string>> { ["mmlu"] = [file, file] });
            Assert.Contains(rule, Assert.Throws<EvaluationException>(() => TaskCatalog.Find("mmlu")!.Load(data, new TaskSelection { Shots = 0 })).Message, StringComparison.Ordinal);
        }
    }
}
