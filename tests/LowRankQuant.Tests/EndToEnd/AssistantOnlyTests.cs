using System.Text.Json;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary><c>--assistant-only</c> from a file of conversations to a model: what it changes, and that it changes nothing where all is the assistant's.</summary>
public sealed class AssistantOnlyTests : IDisposable
{
    private const string ChatMl = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

    private static readonly string[] Stories =
        [.. File.ReadAllText(Path.Combine(TestData.Demo, "calibration.txt")).Split("<|endoftext|>").Select(story => story.Trim()).Where(story => story.Length > 300).Take(16)];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("gptq")]
    [InlineData("lrq+ --iterations 2 --tune-steps 2 --tune-batch 2 --tune-samples 6")]
    public async Task AnswersAloneAreLearnedFrom(string method)
    {
        string model = Model(ChatMl), chat = Chat("chat", "Tell me a story about a friend."), other = Chat("other", "What is it like in the big city?");
        (string masked, string told) = await Quantize(model, chat, method, "masked", "--assistant-only");
        (string plain, _) = await Quantize(model, chat, method, "plain");
        (string asked, _) = await Quantize(model, other, method, "asked", "--assistant-only");
        Assert.NotEqual(plain, masked);
        // Questions are inputs of the answers behind them.
        Assert.NotEqual(asked, masked);
        int[] counts = [.. System.Text.RegularExpressions.Regex.Match(told, @"learning from assistants alone: (\d+) of (\d+) tokens").Groups.Values.Skip(1).Select(group => int.Parse(group.Value, System.Globalization.CultureInfo.InvariantCulture))];
        Assert.InRange(counts[0], counts[1] / 3, counts[1] - 1);
        Assert.Matches("\"assistant_only\":\\s*\"?true", File.ReadAllText(_folder.File("masked/recipe.json")));
    }

    [Theory]
    [InlineData("gptq")]
    [InlineData("lrq --iterations 2")]
    public async Task WhereAllIsTheAssistantsNothingIsLeftOut(string method)
    {
        string model = Model("{% for m in messages %}{{ m['content'] }}{% endfor %}"), chat = _folder.File("chat.jsonl");
        File.WriteAllText(chat, JsonSerializer.Serialize(new { messages = new[] { new { role = "assistant", content = string.Join("\n\n", Stories) } } }));
        (string masked, string told) = await Quantize(model, chat, method, "masked", "--assistant-only", "--add-bos", "no");
        (string plain, _) = await Quantize(model, chat, method, "plain", "--add-bos", "no");
        Assert.Matches(@"learning from assistants alone: (\d+) of \1 tokens", told);
        Assert.Equal(plain, masked);
    }

    [Fact]
    public async Task HeldOutWindowsWithoutAnAnswerJudgeNothing()
    {
        string model = Model(ChatMl), chat = _folder.File("chat.jsonl");
        File.WriteAllLines(chat, Stories.Select((story, i) => JsonSerializer.Serialize(new { messages = new[] { new { role = i == 0 ? "assistant" : "user", content = story } } })));
        CliResult result = await Lrq.Run(Command(model, chat, "lrq --iterations 2", "out", "--assistant-only"));
        Assert.Equal(1, result.Code);
        Assert.Contains("--assistant-only: none of 2 held-out windows holds a token that an assistant says", result.Error, StringComparison.Ordinal);
    }

    private async Task<(string Hash, string Told)> Quantize(string model, string chat, string method, string name, params string[] more)
    {
        CliResult result = await Lrq.Run(Command(model, chat, method, name, more));
        Assert.True(result.Code == 0, result.Error);
        return (Lrq.Bytes(_folder.File(name))["model.safetensors"], result.Out);
    }

    private string[] Command(string model, string chat, string method, string name, params string[] more) =>
    [
        "quantize", model, "--method", .. method.Split(' '), "--bits", "3", "--calibration", chat, "--samples", "4", "--held-out", "2", "--sequence-length", "64", "--threads", "1",
        "--out", _folder.File(name), .. more,
    ];

    private string Chat(string name, string question)
    {
        string path = _folder.File(name + ".jsonl");
        File.WriteAllLines(path, Stories.Select(story => JsonSerializer.Serialize(new
        {
            messages = new[] { new { role = "user", content = question }, new { role = "assistant", content = story[..120] }, new { role = "user", content = "And then?" }, new { role = "assistant", content = story[120..240] } },
        })));
        return path;
    }

    private string Model(string template)
    {
        string model = DemoCopy.Create(_folder, "model");
        File.WriteAllText(Path.Combine(model, "chat_template.jinja"), template);
        return model;
    }
}
