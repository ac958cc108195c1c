using System.Text.RegularExpressions;
using LowRankQuant.Cli;
using LowRankQuant.Cli.Commands;
using LowRankQuant.Cli.Output;

namespace LowRankQuant.Tests.Cli;

/// <summary>
/// What the README says to type is accepted as it stands. Commands of its blocks run in their order, on the demo in the place of models that are not
/// there: conversions, exports, checks, comparisons and measurements as they are; learning runs, which take minutes, as plans of the same options, or with one step where they are several; tasks
/// whose data must be downloaded up to the point where the model would be asked.
/// </summary>
public partial class ReadmeTests
{
    private static string Readme => File.ReadAllText(Path.Combine(TestData.RepositoryRoot, "README.md"));

    [Fact]
    public async Task EveryCommandInABlockRunsAsTyped()
    {
        using var folder = new TemporaryFolder();
        await Prepare(folder);
        string[] lines = [.. Block().Matches(Readme).SelectMany(block => block.Groups[1].Value.Split('\n')).Where(line => line.StartsWith("./lrq ", StringComparison.Ordinal))];
        Assert.True(lines.Length >= 14, $"{lines.Length} commands");
        foreach (string line in lines)
        {
            string[] args = [.. line.Split(" #")[0].Split(' ', StringSplitOptions.RemoveEmptyEntries).Skip(1).Select(word => Placed(folder, word))];
            if (args[0] == "quantize") args = [.. After(["plan", .. args[1..], "--untimed"], "--out", "-planned")];
            // As typed, on as little as there can be.
            if (args[0] is "compare-methods" or "sweep") args = [.. args, "--iterations", "1", "--samples", "2", "--held-out", "1", "--sequence-length", "32", "--eval-windows", "1"];
            if (args[0] == "eval" && args.Contains("--tasks"))
            {
                var asked = new CliHarness();
                int answer = await asked.Run([.. After(args, "--items", ".new")]);
                Assert.True(answer == 0, $"{line}\n{asked.Error}");
                Assert.NotEmpty(asked.Evaluated!.Tasks!.Tasks);
                continue;
            }
            (int code, string output) = await Run(args);
            Assert.True(code == 0, $"{line}\n{output}");
        }
    }

    [Fact]
    public void EveryCommandInTheTextAndInTheHelpParses()
    {
        string[] lines = [.. Inline().Matches(Block().Replace(Readme, "")).Select(match => match.Groups[1].Value), .. HelpExamples.All.Select(line => line["lrq ".Length..])];
        var app = new App(new Terminal(TextWriter.Null, TextWriter.Null, false, false), Engine.Default);
        Assert.True(lines.Length > 15, $"{lines.Length} commands");
        foreach (string line in lines)
        {
            if (line.StartsWith("help ", StringComparison.Ordinal)) continue;
            string[] words = line.Split(new[] { ' ', '\n' }, StringSplitOptions.RemoveEmptyEntries);
            // 'lrq eval' and the like name a command and are no line to type.
            if (words.Length == 1) words = [words[0], "--help"];
            Assert.True(app.Parse(words).Errors.Count == 0, $"lrq {line}: {string.Join("; ", app.Parse(words).Errors.Select(error => error.Message))}");
        }
    }

    /// <summary>The words with an end added to the one behind an option: what a command writes must not be there yet.</summary>
    private static IEnumerable<string> After(string[] args, string option, string end) => args.Select((word, i) => i > 0 && args[i - 1] == option ? word + end : word);

    /// <summary>The models, texts and items that the README's commands begin from.</summary>
    private static async Task Prepare(TemporaryFolder folder)
    {
        foreach (string[] args in new string[][]
        {
            ["convert", TestData.Demo, "--to", "gguf", "--out", folder.File("model.gguf")],
            ["quantize", TestData.Demo, "--method", "rtn", "--bits", "3", "--out", folder.File("out/w3")],
            ["quantize", TestData.Demo, "--method", "rtn", "--bits", "4", "--group-size", "32", "--scale-dtype", "fp16", "--out", folder.File("out/w4")],
            ["export", folder.File("out/w4"), "--to", "awq", "--out", folder.File("somebody/model-AWQ")],
        })
        {
            (int code, string output) = await Run(args);
            Assert.True(code == 0, $"{string.Join(' ', args)}\n{output}");
        }
        File.Copy(Path.Combine(TestData.Demo, "calibration.txt"), folder.File("train.txt"));
        string text = File.ReadAllText(Path.Combine(TestData.Demo, "evaluation.txt"));
        File.WriteAllText(folder.File("test.txt"), text[..8000]);
        File.WriteAllText(folder.File("wiki.test.raw"), " = Title = \n\n" + text[..2000]);
        // The quiz that the README shows, with items of its own.
        string recipe = Regex.Replace(QuizRecipe().Match(Readme).Groups[1].Value, @"\s+", " ");
        File.WriteAllText(folder.File("quiz.json"), recipe);
        File.WriteAllText(folder.File("quiz.csv"), "question,a,b,c,right\nWhat is red,a rose,a cloud,a frog,A\nWhat flies,a stone,a bird,a house,B\nWhat is wet,sand,rain,dust,B\n");
        foreach ((string model, string items) in new[] { ("out/w3", "w3.jsonl"), ("out/w4", "rtn.jsonl"), ("model.gguf", "full.jsonl") })
        {
            (int code, string output) = await Run(["eval", folder.File(model), "--tasks", folder.File("quiz.json"), "--items", folder.File(items)]);
            Assert.True(code == 0, output);
        }
        Directory.CreateDirectory(folder.File("data/mmlu/test"));
        File.WriteAllText(folder.File("data/mmlu/test/anatomy_test.csv"), "Which is it?,a,b,c,d,A\n");
        foreach (string task in new[] { "boolq", "piqa", "hellaswag", "winogrande", "arc_easy", "arc_challenge", "openbookqa" }) File.WriteAllText(folder.File($"data/{task}.jsonl"), "{}\n");
    }

    // Every name stays what it is, within the folder.
    private static string Placed(TemporaryFolder folder, string word) => word switch
    {
        "demo" => TestData.Demo,
        "full.jsonl" or "w3.jsonl" or "rtn.jsonl" or "data" or "states" => folder.File(word),
        _ when word.StartsWith("out/", StringComparison.Ordinal) || File.Exists(folder.File(word)) || Directory.Exists(folder.File(word)) || word.EndsWith(".gguf", StringComparison.Ordinal) => folder.File(word),
        _ => word,
    };

    private static async Task<(int Code, string Output)> Run(string[] args)
    {
        using var text = new StringWriter();
        int code = await new App(new Terminal(text, text, false, false), Engine.Default).RunAsync(args, TestContext.Current.CancellationToken);
        return (code, text.ToString());
    }

    [GeneratedRegex("^```[a-z]*\n(.*?)^```", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Block();

    [GeneratedRegex(@"`(?:\./)?lrq ([a-z]+[^`]*)`")]
    private static partial Regex Inline();

    [GeneratedRegex("""`(\{"name": "quiz".*?\})`""", RegexOptions.Singleline)]
    private static partial Regex QuizRecipe();
}
