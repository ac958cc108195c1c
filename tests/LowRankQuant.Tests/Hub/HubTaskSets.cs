using System.Text.Json.Serialization;
using LowRankQuant.Tests.Quantization.Texts;

namespace LowRankQuant.Tests.Hub;

/// <summary>Stand-ins for the data sets of tasks, two items of each, as the hub converts them.</summary>
internal static class HubTaskSets
{
    private const string Converted = "refs/convert/parquet";

    /// <summary>Names of data sets, and small repositories with the hub's columns.</summary>
    public static IReadOnlyList<(string Name, HubRepository Repository)> All { get; } = Make();

    private static (string Name, HubRepository Repository)[] Make()
    {
        HubRepository arc = new(), glue = new(), piqa = new(), hella = new(), wino = new(), book = new(), lambada = new(), wsc = new(), mmlu = new();
        Put(arc, "ARC-Easy/test", Twice(i => new Labelled { Question = $"What is {i}?", Choices = Four(), Key = "C" }));
        // Some of ARC's labels are numbers.
        Put(arc, "ARC-Challenge/test", Twice(i => new Labelled { Question = $"Why {i}?", Choices = new() { Text = ["a", "b", "c"], Label = ["1", "2", "3"] }, Key = "3" }));
        Put(book, "main/test", Twice(i => new Labelled { Stem = $"The sun {i}", Choices = Four(), Key = "B" }));
        Put(glue, "boolq/validation", Twice(i => new Row { Question = $"is it {i}", Passage = "It -- It is.", Label = 1 }));
        Put(glue, "copa/validation", Twice(i => new Row { Premise = $"The man fell {i}.", First = "He slipped.", Second = "He sang.", Question = i == 0 ? "cause" : "effect", Label = 0 }));
        Put(piqa, "plain_text/validation", Twice(i => new Row { Goal = $"Open it {i}", Solution1 = "Pull. ", Solution2 = "Push.", Label = 1 }));
        Put(hella, "default/validation", Twice(i => new Endings { Activity = "Running", ContextA = $"A man [title] runs {i}.", ContextB = "he", All = ["falls.", "sings.", "flies.", "eats."], Label = "2" }));
        Put(wino, "winogrande_xl/validation", Twice(i => new Row { Sentence = $"Ann fed Bob since _ was hungry {i}.", Option1 = "Ann", Option2 = "Bob", Answer = "2" }));
        Put(lambada, "default/test", Twice(i => new TableFiles.TextRow { Text = $"once there was {i} fox" }));
        Put(wsc, "wsc273/test", Twice(i => new Schema { Text = $"The cup fell off the table {i} since it was small.", Pronoun = "it", Place = 35, Options = ["The cup", "The table"], Label = 0 }));
        Put(mmlu, "all/test", [Asked("virology", "V?", 3), Asked("anatomy", "A1?", 0), Asked("virology", "W?", 1), Asked("anatomy", " A2? ", 2)]);
        Put(mmlu, "all/dev", [.. Enumerable.Range(0, 5).SelectMany(i => new[] { Asked("anatomy", $"SA{i}?", 1), Asked("virology", $"SV{i}?", 2) })]);
        return
        [
            ("datasets/allenai/ai2_arc", arc), ("datasets/aps/super_glue", glue), ("datasets/ybisk/piqa", piqa), ("datasets/Rowan/hellaswag", hella), ("datasets/allenai/winogrande", wino),
            ("datasets/allenai/openbookqa", book), ("datasets/EleutherAI/lambada_openai", lambada), ("datasets/ErnestSDavis/winograd_wsc", wsc), ("datasets/cais/mmlu", mmlu),
        ];
    }

    private static void Put<T>(HubRepository repository, string place, List<T> rows)
        where T : class
    {
        repository.Revisions[Converted] = HubRepository.Commit;
        repository.Files[$"{place}/0000.parquet"] = TableFiles.Parquet(rows);
    }

    public static List<T> Twice<T>(Func<int, T> row) => [row(0), row(1)];

    public static Choices Four() => new() { Text = ["a", "b", "c", "d"], Label = ["A", "B", "C", "D"] };

    public static Subject Asked(string subject, string question, long answer) => new() { Name = subject, Question = question, Choices = ["w", "x", "y", "z"], Answer = answer };

    internal sealed class Choices
    {
        [JsonPropertyName("text")]
        public List<string>? Text { get; set; }

        [JsonPropertyName("label")]
        public List<string>? Label { get; set; }
    }

    internal sealed class Labelled
    {
        [JsonPropertyName("question")]
        public string? Question { get; set; }

        [JsonPropertyName("question_stem")]
        public string? Stem { get; set; }

        [JsonPropertyName("choices")]
        public Choices? Choices { get; set; }

        [JsonPropertyName("answerKey")]
        public string? Key { get; set; }
    }

    internal sealed class Endings
    {
        [JsonPropertyName("activity_label")]
        public string? Activity { get; set; }

        [JsonPropertyName("ctx_a")]
        public string? ContextA { get; set; }

        [JsonPropertyName("ctx_b")]
        public string? ContextB { get; set; }

        [JsonPropertyName("endings")]
        public List<string>? All { get; set; }

        [JsonPropertyName("label")]
        public string? Label { get; set; }
    }

    internal sealed class Schema
    {
        [JsonPropertyName("text")]
        public string? Text { get; set; }

        [JsonPropertyName("pronoun")]
        public string? Pronoun { get; set; }

        [JsonPropertyName("pronoun_loc")]
        public long Place { get; set; }

        [JsonPropertyName("options")]
        public List<string>? Options { get; set; }

        [JsonPropertyName("label")]
        public long Label { get; set; }
    }

    internal sealed class Subject
    {
        [JsonPropertyName("question")]
        public string? Question { get; set; }

        [JsonPropertyName("subject")]
        public string? Name { get; set; }

        [JsonPropertyName("choices")]
        public List<string>? Choices { get; set; }

        [JsonPropertyName("answer")]
        public long Answer { get; set; }
    }

    // The columns of the sets whose rows are flat.
    internal sealed class Row
    {
        [JsonPropertyName("question")]
        public string? Question { get; set; }

        [JsonPropertyName("passage")]
        public string? Passage { get; set; }

        [JsonPropertyName("premise")]
        public string? Premise { get; set; }

        [JsonPropertyName("choice1")]
        public string? First { get; set; }

        [JsonPropertyName("choice2")]
        public string? Second { get; set; }

        [JsonPropertyName("goal")]
        public string? Goal { get; set; }

        [JsonPropertyName("sol1")]
        public string? Solution1 { get; set; }

        [JsonPropertyName("sol2")]
        public string? Solution2 { get; set; }

        [JsonPropertyName("sentence")]
        public string? Sentence { get; set; }

        [JsonPropertyName("option1")]
        public string? Option1 { get; set; }

        [JsonPropertyName("option2")]
        public string? Option2 { get; set; }

        [JsonPropertyName("answer")]
        public string? Answer { get; set; }

        [JsonPropertyName("label")]
        public long Label { get; set; }
    }
}
