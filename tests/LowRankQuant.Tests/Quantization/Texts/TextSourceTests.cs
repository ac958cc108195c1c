using System.Text;
using System.Text.Json.Nodes;
using LowRankQuant.Models;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Texts;

namespace LowRankQuant.Tests.Quantization.Texts;

/// <summary>Documents of files: formats by name and content, fields, conversations, what is left out and what is refused.</summary>
public sealed class TextSourceTests : IDisposable
{
    private const string ChatMl = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}";
    private const string Once = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n";

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("a.txt", "{\"text\": \"ab\"}\n{\"text\": \"cd\"}\n", TextFormat.JsonLines)]
    [InlineData("a", "\n {\"text\": \"ab\"}", TextFormat.JsonLines)]
    [InlineData("a.dat", "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}", TextFormat.JsonLines)]
    [InlineData("a.txt", "{\"name\": \"ab\"}\n", TextFormat.Text)]
    [InlineData("a.txt", "{\"text\": \"ab\"}\nplain", TextFormat.Text)]
    [InlineData("a.txt", "\"ab\"\n\"cd\"\n", TextFormat.Text)]
    [InlineData("a.txt", "{ not json", TextFormat.Text)]
    [InlineData("a.ndjson", "\"ab\"", TextFormat.JsonLines)]
    [InlineData("a.json", "[\"ab\"]", TextFormat.Json)]
    [InlineData("a.ids", "[1]", TextFormat.Ids)]
    public void TheFormatIsKnownByNameAndContent(string name, string content, TextFormat format)
    {
        TextSource source = Source(name, content);
        Assert.Equal(format, source.Format);
        bool told = format == TextFormat.JsonLines && name != "a.ndjson";
        Assert.Equal(told, source.Warnings.Any(warning => warning.Contains("is read as JSON lines; `calibration_format` text takes it as it stands", StringComparison.Ordinal)));
    }

    [Fact]
    public void PlainTextNamedAsJsonIsRefused() => Assert.Contains(
        "it is named as JSON and begins with 'O'; if it is plain text, say so by `calibration_format` text",
        Assert.Throws<TextSourceException>(() => Source("a.jsonl", "Once upon a time")).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("{\"text\": \"cut \\ud83d\"}\n{\"text\": \"\\udc00 low, \\ud83d\\ude00 pair, \\\\ud83d none, \\ud83d\\u0041\"}", 3, "cut \uFFFD|\uFFFD low, \U0001F600 pair, \\ud83d none, \uFFFDA")]
    [InlineData("{\"te\\ud800xt\": 1, \"text\": \"a\"}", 1, "a")]
    public void HalfSurrogatePairsAreReadAndCounted(string content, int count, string expected)
    {
        foreach (string name in new[] { "a.jsonl", "a.json" })
        {
            TextSource source = Source(name, content);
            Assert.Equal(expected, string.Join('|', Texts(source)));
            Assert.Contains($"': {count} hal", Assert.Single(source.Warnings), StringComparison.Ordinal);
            Assert.Contains("read as U+FFFD", source.Warnings[0], StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("""{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello"}]}""")]
    [InlineData("""{"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]},{"role":"assistant","content":["Hello"],"tool_calls":null}],"tools":null}""")]
    [InlineData("""{"conversations":[{"from":"human","value":"Hi"},{"from":"gpt","value":"Hello"}]}""")]
    [InlineData("""{"instruction":"Hi","input":"","output":"Hello"}""")]
    [InlineData("""{"prompt":"Hi","completion":"Hello"}""")]
    [InlineData("""{"prompt":[{"role":"user","content":"Hi"}],"completion":[{"role":"assistant","content":"Hello"}]}""")]
    [InlineData("""{"question":"Hi","answer":"Hello"}""")]
    [InlineData("""{"text":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello"}]}""")]
    public void ConversationsGoThroughTheChatTemplate(string row)
    {
        Assert.Equal([Once, Once], Texts(Source("a.jsonl", row + "\n" + row, ChatMl)));
        Assert.Equal([Once], Texts(Source("a.json", "[" + row + "]", ChatMl)));
    }

    [Fact]
    public void SystemTextsAndInputsHaveTheirPlace()
    {
        Assert.Equal("<|im_start|>system\nBe brief<|im_end|>\n" + Once, Assert.Single(Texts(Source("a.jsonl", """{"system":"Be brief","conversations":[{"from":"human","value":"Hi"},{"from":"gpt","value":"Hello"}]}""", ChatMl))));
        Assert.Equal("<|im_start|>user\nAdd\n\n1 2<|im_end|>\n<|im_start|>assistant\n3<|im_end|>\n", Assert.Single(Texts(Source("a.jsonl", """{"instruction":"Add","input":"1 2","output":"3"}""", ChatMl))));
    }

    [Theory]
    [InlineData("""{"messages":[{"role":"user","content":[{"type":"image_url","image_url":"x"}]}]}""", "a part of a message is of type \"image_url\"")]
    [InlineData("""{"messages":[{"role":"assistant","content":null,"tool_calls":[{"id":1}]}]}""", "a message has 'tool_calls', which the chat template does not know")]
    [InlineData("""{"messages":[{"role":"assistant","content":"x","tool_calls":"f(1)"}]}""", "a message has 'tool_calls' that are no JSON array")]
    [InlineData("""{"messages":[{"role":"assistant","content":7,"tool_calls":[{"id":1}]}]}""", "the content of a message is a number")]
    [InlineData("""{"messages":[{"role":"assistant","content":"x","function_call":{"name":"f"}}]}""", "a message has 'function_call'")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"tools":[{"name":"f"}]}""", "it comes with 'tools'")]
    [InlineData("""{"conversations":[{"from":"alien","value":"x"}]}""", "the role of a message is \"alien\"")]
    [InlineData("""{"messages":[{"role":"user"}]}""", "a message has no 'content'")]
    [InlineData("""{"text":null}""", "'text' is null")]
    [InlineData("""{"text":""}""", "'text' is empty")]
    public void RowsThatGiveNoTextAreLeftOutAndCounted(string row, string why)
    {
        TextSource source = Source("a.jsonl", row + "\n{\"text\": \"ab\"}\n" + row + "\n", ChatMl);
        Assert.Equal(["ab"], Texts(source));
        Assert.Contains($"2 rows were left out, the first on line 1: ", Assert.Single(source.Warnings), StringComparison.Ordinal);
        Assert.Contains(why, source.Warnings[0], StringComparison.Ordinal);
        string none = Assert.Throws<TextSourceException>(() => Texts(Source("b.jsonl", row, ChatMl))).Message;
        Assert.Contains("none of its rows gives a text", none, StringComparison.Ordinal);
        Assert.Contains(why, none, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""[{"id":"c1","type":"function","function":{"name":"add","arguments":{"a":1}}}]""", "null")]
    // Tables keep them as JSON text, and most data sets the arguments.
    [InlineData("\"[{\\\"function\\\":{\\\"name\\\":\\\"add\\\",\\\"arguments\\\":{\\\"a\\\":1}}}]\"", "\"\"")]
    [InlineData("""[{"function":{"name":"add","arguments":"{\"a\": 1}"}}]""", "null")]
    public void CallsOfToolsGoThroughTheChatTemplate(string calls, string content)
    {
        const string Template =
            "{% for m in messages %}<{{ m.role }}>{{ m.content or '' }}{% for c in m.tool_calls or [] %}[{{ c.function.name }} {{ c.function.arguments | tojson }}]{% endfor %}{{ m.tool_call_id or '' }}{% endfor %}";
        string row = "{\"messages\":[{\"role\":\"user\",\"content\":\"1+1\",\"tool_calls\":[]},{\"role\":\"assistant\",\"content\":" + content + ",\"tool_calls\":" + calls +
            "},{\"role\":\"tool\",\"content\":\"2\",\"tool_call_id\":\"c1\"},{\"role\":\"assistant\",\"content\":\"Two.\"}]}";
        TextSource source = Source("a.jsonl", row, Template);
        Assert.Equal("<user>1+1<assistant>[add {\"a\": 1}]<tool>2c1<assistant>Two.", Assert.Single(Texts(source)));
        Assert.Empty(source.Warnings);
    }

    [Fact]
    public void ThoughtsAreLeftOutWithAWarning()
    {
        TextSource source = Source("a.jsonl", """{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello","reasoning_content":"hm"}]}""", ChatMl);
        Assert.Equal([Once], Texts(source));
        Assert.Contains("'reasoning_content' was left out of 1 row", Assert.Single(source.Warnings), StringComparison.Ordinal);
    }

    [Fact]
    public void ATemplateThatRefusesIsQuoted()
    {
        const string Template = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + ChatMl;
        TextSource source = Source("a.jsonl", """
            {"messages":[{"role":"system","content":"x"}]}
            {"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello"}]}
            """, Template);
        Assert.Equal([Once], Texts(source));
        Assert.Contains("1 row was left out, the first on line 1: its conversation cannot be put into text: The chat template refuses the messages: no system role", Assert.Single(source.Warnings), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"messages":[{"role":"user","content":"Hi"}]}""", "line 1 holds a conversation ('messages'), and the model has no chat template to put it into text; name a field of plain text by `text_field`")]
    [InlineData("""{"instruction":"a","output":"b"}""", "line 1 holds a conversation ('instruction' and 'output')")]
    [InlineData("[1, 2, 3]", "line 1 holds token ids; say so by `calibration_format` ids")]
    [InlineData("""{"input_ids":[1, 2]}""", "line 1 holds token ids in 'input_ids'; say so by `calibration_format` ids")]
    [InlineData("""{"body":"x","n":1}""", "line 1 has no field 'text'; it has 'body', 'n'. Name the field that holds the text by `text_field`")]
    [InlineData("""{"text":{"a":1}}""", "field 'text' is an object, {\"a\":1}; it must be a text")]
    [InlineData("""{"text":"a","text":"b"}""", "the key 'text' is there twice in one object")]
    [InlineData("""{"text":"a",}""", "line 1, column 13: not sound JSON: '}' where a value or key must stand (a comma too many in front of it?)")]
    [InlineData("""{"text":"a","x":NaN}""", "NaN is no number of JSON; write null")]
    [InlineData("""{"text":"a","x":-Infinity}""", "-Infinity is no number of JSON; write null")]
    [InlineData("{\"text\":\"a\tb\"}", "the control character U+0009 within a text")]
    [InlineData("{'text':'a'}", "a single quote; texts and keys stand in double quotes")]
    [InlineData("{\"text\":\"a\"}}", "'}' without an opening bracket")]
    [InlineData("{\"text\":\"a\"},\n{\"text\":\"b\"}", "line 1, column 13: not sound JSON: ',' where a value must stand")]
    [InlineData("[\"a\",]", "']' behind a comma; leave the comma out")]
    [InlineData("[\"a\"", "the text ends within the array around all elements")]
    [InlineData("[\"a\"] x", "'x' behind the end of the array around all elements")]
    public void WhatIsWrongIsNamedWithItsPlaceAndRemedy(string content, string message)
    {
        string told = Assert.Throws<TextSourceException>(() => Texts(Source("a.jsonl", content))).Message;
        Assert.Contains(message, told, StringComparison.Ordinal);
        Assert.StartsWith($"'{_folder.File("a.jsonl")}'", told, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', told);
    }

    [Fact]
    public void DepthIsLimitedAndHugeNumbersAreNoConcern()
    {
        string deep = "{\"text\":\"a\",\"x\":" + new string('[', 100_000) + "1" + new string(']', 100_000) + "}";
        Assert.Contains("nested more than 64 levels deep", Assert.Throws<TextSourceException>(() => Texts(Source("a.jsonl", deep))).Message, StringComparison.Ordinal);
        Assert.Equal(["a"], Texts(Source("a.jsonl", "{\"x\": 1e999999, \"y\": " + new string('9', 5000) + ", \"text\": \"a\"}")));
    }

    // Every place at which a value may be cut by the reader's buffer.
    [Fact]
    public void ValuesAreCutWhereTheyEnd()
    {
        var rows = Enumerable.Range(0, 400).Select(i => new string('x', i * 3) + " \"]}\\ \u00e9").ToList();
        string lines = string.Concat(rows.Select(row => new JsonObject { ["n"] = new JsonArray(1, new JsonObject()), ["text"] = row }.ToJsonString() + "\r\n"));
        Assert.Equal(rows, Texts(Source("a.jsonl", lines)));
        Assert.Equal(rows, Texts(Source("a.json", $"[{lines.TrimEnd().Replace("\r\n", " ,\n", StringComparison.Ordinal)}\n]")));
        Assert.Equal(rows, Texts(Source("b.json", $"{{\"version\": 1, \"data\": [{lines.TrimEnd().Replace("\r\n", ",", StringComparison.Ordinal)}]}}")));
    }

    [Theory]
    [InlineData("<s>{{ messages[0]['content'] }}</s>", "\u0002Hi\u0001\u0002Hi\u0001")]
    [InlineData("{{ messages[0]['content'] }}", "\u0002Hi\u0001\u0002Hi")]
    [InlineData("{{ messages[0]['content'] }}</s>{{ '\\n' }}", "\u0002Hi\u0001\n\u0002Hi\u0001\n")]
    public void MarksOfTheTemplateAreNotAddedAgain(string template, string expected)
    {
        using var device = new CpuDevice();
        string model = DemoWith(template);
        using CausalModel demo = ModelSource.Open(model, device);
        string path = Write("a.jsonl", """{"messages":[{"role":"user","content":"Hi"}]}""" + "\n" + """{"messages":[{"role":"user","content":"Hi"}]}""");
        var options = new CalibrationOptions { Sources = [path], Samples = 1, SequenceLength = expected.Length };
        var tokenizer = new MarkTokenizer();
        CalibrationSet set = CalibrationLoader.Load(options, tokenizer, demo.Config, demo, cancellation: TestContext.Current.CancellationToken);
        Assert.Equal(expected, string.Concat(set.Windows[0].Select(id => (char)id)));
    }

    private static List<string> Texts(TextSource source) => [.. source.Documents([]).Select(document =>
    {
        var text = new StringBuilder();
        while (document.Read(text, 1000)) { }
        return text.ToString();
    })];

    private TextSource Source(string name, string content, string? template = null)
    {
        string path = Write(name, content);
        if (template is null) return new TextSource(path, new TextSourceOptions());
        return new TextSource(path, new TextSourceOptions(), () =>
        {
            using var device = new CpuDevice();
            using CausalModel model = ModelSource.Open(DemoWith(template), device);
            return ChatText.Of(model.Checkpoint, model.Checkpoint.LoadTokenizer(), model.Config);
        });
    }

    private string DemoWith(string template)
    {
        string model = _folder.File("model");
        Directory.CreateDirectory(model);
        foreach (string file in Directory.EnumerateFiles(TestData.Demo)) File.Copy(file, Path.Combine(model, Path.GetFileName(file)), overwrite: true);
        File.WriteAllText(Path.Combine(model, "chat_template.jinja"), template);
        return model;
    }

    private string Write(string name, string content)
    {
        File.WriteAllText(_folder.File(name), content);
        return _folder.File(name);
    }

    /// <summary>A token a character, and <c>&lt;s&gt;</c> and <c>&lt;/s&gt;</c> for the marks.</summary>
    private sealed class MarkTokenizer : LowRankQuant.Models.Tokenizers.ITokenizer
    {
        public int VocabularySize => 256;

        public int? BosId => 2;

        public int? EosId => 1;

        public bool AddsBos => true;

        public int[] Encode(string text, bool addSpecialTokens) =>
            [.. text.Replace("</s>", "\u0001", StringComparison.Ordinal).Replace("<s>", "\u0002", StringComparison.Ordinal).Select(c => (int)c)];

        public int[] Encode(string text, bool addSpecialTokens, bool parseSpecialTokens) => Encode(text, addSpecialTokens);

        public string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens) => throw new NotSupportedException();

        public int? TokenId(string token) => null;

        public string? TokenText(int id) => id switch { 1 => "</s>", 2 => "<s>", _ => ((char)id).ToString() };

        public bool IsSpecial(int id) => id is 1 or 2;
    }
}
