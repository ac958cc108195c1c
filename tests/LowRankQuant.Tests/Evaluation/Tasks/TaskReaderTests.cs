using System.Text.Json.Nodes;
using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Tasks;
using LowRankQuant.Evaluation.Tasks.Data;
using LowRankQuant.Evaluation.Tasks.Definitions;

namespace LowRankQuant.Tests.Evaluation.Tasks;

/// <summary>Files of the original distributions, and files that are not sound.</summary>
public class TaskReaderTests
{
    public static TheoryData<string, string, string, string, int> OriginalRows => new()
    {
        { "boolq", """{"question":"is it","passage":"Rain -- wet.","idx":0,"label":true}""", "Rain -- wet.\nQuestion: is it?\nAnswer:", " no", 1 },
        { "boolq", """{"question":"is it","title":"Rain","answer":false,"passage":"wet."}""", "Rain -- wet.\nQuestion: is it?\nAnswer:", " no", 0 },
        { "hellaswag", """{"ind":24,"activity_label":"Roof","ctx_a":"A man sits.","ctx_b":"he","endings":["x","y","z","w"],"label":3}""", "Roof: A man sits. He", " x", 3 },
        { "winogrande", """{"qID":"1","sentence":"Ann met _ there.","option1":"Eve","option2":"Bo","answer":"2"}""", "Ann met Eve", " there.", 1 },
        { "arc_easy", """{"id":"a","question":{"stem":"Why?","choices":[{"text":"x","label":"1"},{"text":"y","label":"2"}]},"answerKey":"2"}""", "Question: Why?\nAnswer:", " x", 1 },
        { "openbookqa", """{"id":"a","question":{"stem":"Frogs eat","choices":[{"text":"flies","label":"A"},{"text":"cars","label":"B"}]},"answerKey":"A"}""", "Frogs eat", " flies", 0 },
        { "copa", """{"premise":"It rained.","choice1":"I got wet.","choice2":"I ran.","question":"effect","label":0,"idx":3}""", "It rained therefore", "  i got wet.", 0 },
    };

    [Theory]
    [MemberData(nameof(OriginalRows))]
    public void OriginalDistributions(string task, string row, string context, string continuation, int gold)
    {
        Question question = ((RowTask)TaskCatalog.Find(task)!).Read(new TaskRow("row", JsonNode.Parse(row)!.AsObject()), Harness.V04);
        Assert.Equal(new TextPair(context, continuation), question.Requests[0]);
        Assert.Equal(gold, question.Gold);
    }

    [Theory]
    [InlineData("boolq", """{"question":"q","label":1}""", "there is no column 'passage'; the row has question, label")]
    [InlineData("boolq", """{"question":"q","passage":"p","label":2}""", "the right choice is number 2 and the choices go from 0 to 1")]
    [InlineData("arc_easy", """{"question":"q","choices":{"text":["a"],"label":["A"]},"answerKey":"F"}""", "the answer 'F' is none of the labels A")]
    [InlineData("arc_easy", """{"question":"q","choices":{"text":["a","b"],"label":["A"]},"answerKey":"A"}""", "2 choices and 1 labels")]
    [InlineData("winogrande", """{"sentence":"no blank","option1":"a","option2":"b","answer":"1"}""", "must hold a blank")]
    [InlineData("copa", """{"premise":"p","choice1":"a","choice2":"b","question":"why","label":0}""", "cause or effect")]
    [InlineData("piqa", """{"query":"q","choices":["a","b"],"gold":0}""", "outer spaces are cut off")]
    [InlineData("lambada_openai", """{"text":"word"}""", "must have a space")]
    [InlineData("hellaswag", """{"activity_label":"l","ctx_a":"a","endings":"x","label":0}""", "must hold an array of texts")]
    [InlineData("wsc273", """{"text":"It is.","pronoun":"It","pronoun_loc":77,"options":["a","b"],"label":0}""", "not within the text")]
    public void UnsoundRows(string task, string row, string message)
    {
        var failure = Assert.Throws<EvaluationException>(
            () => ((RowTask)TaskCatalog.Find(task)!).Read(new TaskRow("'file', line 7", JsonNode.Parse(row)!.AsObject()), Harness.V04));
        Assert.StartsWith("'file', line 7", failure.Message, StringComparison.Ordinal);
        Assert.Contains(message, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void PiqaTakesItsLabelsFromTheFileBeside()
    {
        using var folder = new TemporaryFolder();
        Directory.CreateDirectory(folder.File("piqa"));
        File.WriteAllText(folder.File("piqa/valid.jsonl"), """{"goal":"g","sol1":" a","sol2":"b "}""" + "\n");
        File.WriteAllText(folder.File("piqa/valid-labels.lst"), "1\n");
        TaskItem item = Assert.Single(Piqa.Task.Load(new DataFolder(folder.Path), new TaskSelection()));
        Assert.Equal(1, item.Question.Gold);
        Assert.Equal([2, 2], item.Question.Lengths!);
        File.WriteAllText(folder.File("piqa/valid-labels.lst"), "1\n0\n");
        Assert.Contains("2 labels", Assert.Throws<EvaluationException>(() => Piqa.Task.Load(new DataFolder(folder.Path), new TaskSelection())).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void MmluOfTheOriginalDistribution()
    {
        using var folder = new TemporaryFolder();
        WriteMmlu(folder, string.Concat(Enumerable.Repeat("\" Two\nlines, \"\"quoted\"\" \",a,b,c,d,C\n", 2)), string.Concat(Enumerable.Range(0, 5).Select(i => $"Solved {i},1,2,3,4,A\n")));
        IReadOnlyList<TaskItem> items = Mmlu.Task.Load(new DataFolder(folder.Path), new TaskSelection { Shots = 1, Offset = 1 });
        TaskItem item = Assert.Single(items);
        Assert.Equal((1, 2, "prehistory"), (item.Index, item.Question.Gold!.Value, item.Subject!));
        Assert.Equal(
            "The following are multiple choice questions (with answers) about prehistory.\n\nSolved 0\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer: A\n\n"
            + "Two\nlines, \"quoted\"\nA. a\nB. b\nC. c\nD. d\nAnswer:",
            item.Question.Requests[3].Context);
        Assert.Equal(" D", item.Question.Requests[3].Continuation);
        Assert.Contains("  prehistory", Load(new TaskSelection { Harness = Harness.Hendrycks }).Question.Requests[0].Context, StringComparison.Ordinal);
        Assert.Contains("`offset` 9", Fails(new TaskSelection { Offset = 9 }), StringComparison.Ordinal);

        TaskItem Load(TaskSelection selection) => Mmlu.Task.Load(new DataFolder(folder.Path), selection)[0];
        string Fails(TaskSelection selection) => Assert.Throws<EvaluationException>(() => Load(selection)).Message;
    }

    [Theory]
    [InlineData("q,a,b,c,d,E\n", "the answer 'E' is none of A, B, C, D")]
    [InlineData("q,a,b,c,A\n", "has 5 columns")]
    [InlineData("question,a,b,c,d,answer\nq,a,b,c,d,0\n", "are expected")]
    [InlineData("\"q,a,b,c,d,A\n", "a quote is not closed")]
    [InlineData("\"q\"x,a,b,c,d,A\n", "behind a closing quote")]
    public void UnsoundMmlu(string test, string message)
    {
        using var folder = new TemporaryFolder();
        WriteMmlu(folder, test, "");
        var failure = Assert.Throws<EvaluationException>(() => Mmlu.Task.Load(new DataFolder(folder.Path), new TaskSelection { Shots = 0 }));
        Assert.Contains(message, failure.Message, StringComparison.Ordinal);
        Assert.Contains("prehistory_test.csv", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TooFewShotsAreToldWithTheFile()
    {
        using var folder = new TemporaryFolder();
        WriteMmlu(folder, "q,a,b,c,d,A\n", "q,a,b,c,d,A\n");
        Assert.Contains("has 1 rows; 5 shots", Assert.Throws<EvaluationException>(() => Mmlu.Task.Load(new DataFolder(folder.Path), new TaskSelection())).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"name":"boolq","file":"x.jsonl","context":"c","choices":["a"],"answer":"g"}""", "built-in task")]
    [InlineData("""{"name":"x"}""", "'context' is missing")]
    [InlineData("""{"name":"x","prompt":"y"}""", "prompt")]
    [InlineData("nonsense", "own.json', line 1, column 2: not sound JSON: unexpected 'o'")]
    [InlineData("""{"name":"x","file":"q.csv","context":"c","choices":"opts","answer":"g"}""", "'choices' is a text, \"opts\"; it must be an array with the column of all choices, or with a column for each, such as [\"a\", \"b\", \"c\"]")]
    [InlineData("""{"name":"x","choises":["a"]}""", "'choises' is no key of a recipe (did you mean 'choices'?); its keys are name, file, context, choices, answer, answerForm, delimiter, normalized")]
    [InlineData("""{"name":7}""", "'name' is a number, 7; it must be a text, such as \"quiz\"")]
    [InlineData("""{"answerForm":"Leter"}""", "it must be one of Index, Number, Letter, Text (Index counts from 0, Number from 1), such as \"Letter\" (did you mean 'Letter'?)")]
    [InlineData("""{"answerForm":2}""", "'answerForm' is a number, 2; it must be one of")]
    [InlineData("""{"normalized":"yes"}""", "'normalized' is a text, \"yes\"; it must be true or false")]
    [InlineData("""{"choices":["a",1]}""", "'choices' is an array, [\"a\",1]")]
    [InlineData("""{"context":null}""", "'context' is null; it must be a text")]
    [InlineData("""["x"]""", "is an array; a recipe is a JSON object")]
    [InlineData("""{"name":"x","name":"y"}""", "the key 'name' is there twice in one object")]
    public void UnsoundRecipes(string recipe, string message)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("own.json"), recipe);
        Assert.Contains(message, Assert.Throws<EvaluationException>(() => TaskCatalog.Resolve(folder.File("own.json"))).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Index", "1")]
    [InlineData("Number", "2")]
    [InlineData("Letter", "b")]
    [InlineData("Text", "no")]
    public void AnswersOfOnesOwnTask(string form, string answer)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("own.csv"), $"q,first,second,right\nIs it?,yes,no,{answer}\n");
        File.WriteAllText(folder.File("own.json"), $$$"""{"name":"mine","file":"own.csv","context":"Q: {{q}}","choices":["first","second"],"answer":"right","answerForm":"{{{form}}}"}""");
        TaskItem item = Assert.Single(TaskCatalog.Resolve(folder.File("own.json")).Load(new DataFolder("."), new TaskSelection()));
        Assert.Equal(1, item.Question.Gold);
        Assert.Equal(new TextPair("Q: Is it?", " no"), item.Question.Requests[1]);
        Assert.Equal([3, 2], item.Question.Lengths!);
    }

    [Fact]
    public void AllThatIsWrongAboutARecipeIsToldAtOnce()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("own.json"), """{"nam":"x","choices":"a","normalized":1}""");
        string message = Assert.Throws<EvaluationException>(() => TaskCatalog.Resolve(folder.File("own.json"))).Message;
        Assert.All(["'nam'", "'choices'", "'normalized'"], key => Assert.Contains(key, message, StringComparison.Ordinal));
        Assert.DoesNotContain('\n', message);
        Assert.Contains("(did you mean 'hellaswag'?)", Assert.Throws<EvaluationException>(() => TaskCatalog.Resolve("helaswag")).Message, StringComparison.Ordinal);
        Directory.CreateDirectory(folder.File("folder.json"));
        Assert.Contains("is a folder", Assert.Throws<EvaluationException>(() => TaskCatalog.Resolve(folder.File("folder.json"))).Message, StringComparison.Ordinal);
    }

    // A list of rows, rows behind each other, packed or not.
    [Theory]
    [InlineData("own.jsonl", "{\"q\":\"a \\ud83d\",\"c\":[\"x\",\"y\"],\"r\":0}\n{\"q\":\"b\",\"c\":[\"x\",\"\\udc00\"],\"r\":1}\n")]
    [InlineData("own.json", "[{\"q\":\"a \\ud83d\",\"c\":[\"x\",\"y\"],\"r\":0},\n{\"q\":\"b\",\"c\":[\"x\",\"\\udc00\"],\"r\":1}]")]
    public void HalfSurrogatePairsInItemsAreReadAndCounted(string name, string content)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File(name), content);
        File.WriteAllText(folder.File("recipe.json"), $$$"""{"name":"mine","file":"{{{name}}}","context":"{{q}} \ud800","choices":["c"],"answer":"r"}""");
        IReadOnlyList<TaskItem> items = TaskCatalog.Resolve(folder.File("recipe.json")).Load(new DataFolder("."), new TaskSelection());
        Assert.Equal(new TextPair("a \uFFFD \uFFFD", " y"), items[0].Question.Requests[1]);
        Assert.Equal(new TextPair("b \uFFFD", " \uFFFD"), items[1].Question.Requests[1]);
        Assert.Equal([2, 2], items.Select(item => item.LoneSurrogates));
    }

    [Theory]
    [InlineData("{\"q\":\"a\",}", "line 1, column 10: not sound JSON: '}' where a value or key must stand")]
    [InlineData("{\"q\":\"a\"}\n{\"q\":NaN}", "line 2, column 6: not sound JSON: NaN is no number of JSON; write null")]
    [InlineData("{\"q\":1,\"q\":2}", "line 1, column 1: not sound JSON: the key 'q' is there twice in one object")]
    [InlineData("{\"q\":\"a\nb\"}", "line 1, column 6: not sound JSON: the line ends within a text that is not closed")]
    [InlineData("\"row\"", "line 1 is a text, \"row\"; a row is a JSON object")]
    [InlineData("PAR1\u0015\u0004", "is a Parquet file")]
    public void UnsoundFilesOfItems(string content, string message)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("own.jsonl"), content);
        Assert.Contains(message, Assert.Throws<EvaluationException>(() => TaskFile.Rows(folder.File("own.jsonl"))).Message, StringComparison.Ordinal);
    }

    private static void WriteMmlu(TemporaryFolder folder, string test, string dev)
    {
        Directory.CreateDirectory(folder.File("test"));
        Directory.CreateDirectory(folder.File("dev"));
        File.WriteAllText(folder.File("test/prehistory_test.csv"), test);
        File.WriteAllText(folder.File("dev/prehistory_dev.csv"), dev);
    }
}
