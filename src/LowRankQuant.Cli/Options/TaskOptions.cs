using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Tasks;
using LowRankQuant.Evaluation.Tasks.Definitions;
using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Cli.Options;

/// <summary>Reads the options of <c>lrq eval</c> about tasks, and looks whether the tasks and their files are there.</summary>
internal sealed class TaskOptions(EvalOptions options)
{
    /// <summary>The folder that stands for the data sets of the hub.</summary>
    public const string Hub = "hub";

    /// <summary>The job; what is wrong is added to the reader's problems.</summary>
    public TaskJob Read(OptionReader reader, Harness harness, AddBos addBos, int? context, TemplateArguments? variables)
    {
        var selection = new TaskSelection
        {
            Harness = harness,
            Limit = reader.Int(options.Limit, 1),
            Offset = reader.Int(options.Offset, 0) ?? 0,
            Shots = reader.Int(options.Shots, 0),
        };
        string? data = reader.Text(options.Data), items = reader.Text(options.Items), against = reader.Text(options.Against);
        bool chat = reader.Flag(options.ApplyChatTemplate);
        List<EvaluationTask> tasks = Tasks(reader);
        foreach (EvaluationTask task in tasks)
        {
            if (task.Problem(selection) is { } problem) reader.Problems.Add(problem);
            if (chat && task.ChatProblem(harness) is { } chatProblem) reader.Problems.Add(chatProblem);
        }
        // A folder of that name comes first, as with all names.
        bool hub = data == Hub && !Directory.Exists(data);
        if (hub) CheckFiles(reader, [.. tasks.Where(task => task.OnHub is null)], null);
        else if (data is null && tasks.Exists(TaskCatalog.BuiltIn.Contains)) reader.Problems.Add($"--data is missing: name the folder with the tasks' files, or {Hub} to fetch them from the Hugging Face hub.");
        else if (data is not null && !Directory.Exists(data)) reader.Problems.Add($"--data {data}: is no folder.");
        else CheckFiles(reader, tasks, data);
        if (against is not null && !File.Exists(against)) reader.Problems.Add($"--against {against}: is not a file; name one that --items wrote.");
        if (items is not null && File.Exists(items)) reader.Problems.Add($"--items {items}: exists; choose another name or delete it.");
        return new TaskJob
        {
            Tasks = tasks,
            Data = hub ? null : data,
            FromHub = hub,
            Selection = selection,
            AddBos = addBos,
            ApplyChatTemplate = chat,
            ChatArguments = chat ? variables : null,
            Context = context,
            ItemsFile = items,
            Against = against,
        };
    }

    private List<EvaluationTask> Tasks(OptionReader reader)
    {
        var tasks = new List<EvaluationTask>();
        foreach (string word in reader.Text(options.Tasks)!.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            try
            {
                EvaluationTask task = TaskCatalog.Resolve(word);
                if (tasks.Exists(known => known.Name == task.Name)) reader.Problems.Add($"--tasks: {task.Name} is there twice.");
                else tasks.Add(task);
            }
            catch (EvaluationException failure)
            {
                reader.Problems.Add($"--tasks: {failure.Message}");
            }
        }
        if (tasks.Count == 0 && reader.Problems.Count == 0) reader.Problems.Add("--tasks names no task.");
        return tasks;
    }

    private static void CheckFiles(OptionReader reader, List<EvaluationTask> tasks, string? data)
    {
        foreach (EvaluationTask task in tasks)
        {
            try
            {
                task.CheckFiles(data);
            }
            catch (EvaluationException failure)
            {
                reader.Problems.Add(failure.Message);
            }
        }
    }
}
