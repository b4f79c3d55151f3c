import CFuzz
